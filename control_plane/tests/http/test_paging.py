"""Pages by opaque tokens: together they are the list, also when it changes between them; made-up tokens are refused."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.http.paging import PageQuery, before, cut, next_before, opened, token
from control_plane.http.problems import Refused

NAMES = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), unique=True, max_size=30)


def page(items: list[str], limit: int, at: str | None) -> tuple[tuple[str, ...], str | None]:
    query = PageQuery(limit=limit, page=at)
    return cut(items, kind="names", key=lambda name: (name,), query=query, like=("",))


@given(items=NAMES, limit=st.integers(1, 7))
def test_all_pages_together_are_the_list(items: list[str], limit: int) -> None:
    found: list[str] = []
    at = None
    while True:
        some, at = page(items, limit, at)
        found.extend(some)
        if at is None:
            break
        assert len(some) == limit
    assert found == sorted(items)


@given(items=NAMES, gone=st.data(), limit=st.integers(1, 5))
def test_what_stays_is_told_once_while_others_come_and_go(items: list[str], gone: st.DataObject, limit: int) -> None:
    found: list[str] = []
    now, at = list(items), None
    while True:
        some, at = page(now, limit, at)
        found.extend(some)
        if at is None:
            break
        now = [name for name in now if gone.draw(st.booleans())]
    assert len(found) == len(set(found))
    assert set(found) >= set(now)


def forged(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "!!!!",
            "AAAA",
            "é" * 4,
            forged({}),
            forged(["names"]),
            forged(["other", "a"]),
            forged(["names", 1]),
        ),
        *(forged(["names", "a", "b"]), forged(["names", None]), forged(["names", True]), forged([[], "a"])),
        *(forged([["names"], "a"]), "W1td" * 80),
    ],
)
def test_made_up_tokens_are_refused_with_words(text: str) -> None:
    with pytest.raises(Refused) as refused:
        opened(text, "names", like=("",))
    assert refused.value.problem.status == 400
    assert refused.value.problem.input == "query.page"
    assert "unchanged" in refused.value.problem.way_out


@pytest.mark.parametrize("number", [-1, 2**53, 10**200])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(Refused):
        before(PageQuery(page=forged(["generations", number])), "generations")


def test_lists_of_numbers_go_down() -> None:
    assert before(PageQuery(), "generations") == 0
    following = next_before([9, 8, 7], kind="generations", query=PageQuery(limit=3))
    assert before(PageQuery(page=following), "generations") == 7
    assert next_before([9, 8], kind="generations", query=PageQuery(limit=3)) is None
    assert next_before([3, 2, 1], kind="generations", query=PageQuery(limit=3)) is None


def test_a_token_says_nothing_that_needs_escaping() -> None:
    assert token("vms", ("é", 1)).isascii()
