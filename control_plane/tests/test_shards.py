"""A map in pieces is a map: it holds what was put into it, and what it was made from stays as it was."""

from hypothesis import given
from hypothesis import strategies as st

from control_plane.shards import Shards

KEYS = st.text(max_size=3)
CHANGES = st.lists(st.tuples(st.dictionaries(KEYS, st.integers()), st.lists(KEYS, max_size=3)))


@given(CHANGES)
def test_it_holds_what_a_dict_would_and_its_ancestors_stay(changes: list[tuple[dict[str, int], list[str]]]) -> None:
    line: list[tuple[Shards[int], dict[str, int]]] = [(Shards(), {})]
    for put, drop in changes:
        shards, plain = line[-1]
        expected = {key: value for key, value in plain.items() if key not in drop} | put
        line.append((shards.changed(put=put, drop=drop), expected))
    for shards, expected in line:
        assert dict(shards) == expected
        assert shards == expected
        assert len(shards) == len(expected)
        assert all(key in shards and shards.get(key) == expected[key] for key in expected)
        assert shards.get("not there") is None


def test_nothing_changed_is_the_same_map() -> None:
    shards = Shards({"a": 1})
    assert shards.changed(put={}, drop=["b"]) is shards
    assert "b" not in shards
