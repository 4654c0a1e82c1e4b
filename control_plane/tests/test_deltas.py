"""Maps that remember what they were made from answer as a look at each key would."""

import gc
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from control_plane.deltas import MOST_ANCESTORS, Derived, derive, difference

STEPS = st.lists(
    st.tuples(st.dictionaries(st.integers(0, 30), st.integers(), max_size=4), st.sets(st.integers(0, 30), max_size=4)),
    max_size=15,
)


def every_key(before: Mapping[int, object], after: Mapping[int, object]) -> set[int]:
    return {key for key in {*before, *after} if before.get(key) is not after.get(key)}


@given(steps=STEPS, first=st.dictionaries(st.integers(0, 100), st.integers(), min_size=10))
def test_any_two_of_a_line_differ_as_a_look_at_each_key_says(
    steps: list[tuple[dict[int, int], set[int]]], first: dict[int, int]
) -> None:
    line: list[Mapping[int, object]] = [{key: [value] for key, value in first.items()}]
    for put, drop in steps:
        line.append(derive(line[-1], put={key: [value] for key, value in put.items()}, drop=drop - set(put)))
    for before in line:
        for after in line:
            assert set(difference(before, after)) == every_key(before, after)


def test_a_derived_map_is_a_map_like_any_other() -> None:
    made = derive({"a": 1, "b": 2}, put={"c": 3}, drop=("a", "x"))
    assert made == {"b": 2, "c": 3}
    assert {**made} == {"b": 2, "c": 3}


def test_maps_that_nobody_has_any_more_are_forgotten() -> None:
    keep = line = derive(derive({n: object() for n in range(1000)}, put={}), put={})
    for n in range(100):
        line = derive(line, put={n: object()})
    gc.collect()
    assert isinstance(line, Derived)
    assert len(line.notes) <= 3
    assert set(difference(keep, line)) == set(range(100))
    assert len(line.notes) < MOST_ANCESTORS


def test_equal_values_that_are_other_objects_differ() -> None:
    before = derive({"a": [1]})
    assert difference(before, derive(before, put={"a": [1]})) == ["a"]
    assert difference(before, derive(before, put={"a": before["a"]})) == []
