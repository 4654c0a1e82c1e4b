import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_service.cache.ranges import Part, Unchanged, Unsatisfiable, Whole, answer_to

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("bytes=0-", Part(0, 10)),
        ("bytes=4-", Part(4, 6)),
        ("bytes=4-4", Part(4, 1)),
        ("bytes=4-100", Part(4, 6)),
        ("bytes=-3", Part(7, 3)),
        ("bytes=-100", Part(0, 10)),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=10-", Unsatisfiable()),
        ("bytes=99999999999999999-", Unsatisfiable()),
        ("bytes=5-4", Whole()),
        ("bytes=0-1,3-4", Whole()),
        ("lines=0-1", Whole()),
        ("bytes=", Whole()),
        ("bytes=-", Whole()),
        ("bytes=" + "9" * 400 + "-", Whole()),
        ("bytes=٣-", Whole()),
    ],
)
def test_a_range_of_ten_bytes(header: str, answer: object) -> None:
    assert answer_to({"range": header}, etag=ETAG, size=10) == answer


def test_an_empty_file_has_no_range() -> None:
    assert answer_to({"range": "bytes=0-"}, etag=ETAG, size=0) == Unsatisfiable()
    assert answer_to({"range": "bytes=-5"}, etag=ETAG, size=0) == Unsatisfiable()


def test_a_range_of_another_file_is_the_whole() -> None:
    assert answer_to({"range": "bytes=4-", "if-range": '"old"'}, etag=ETAG, size=10) == Whole()
    assert answer_to({"range": "bytes=4-", "if-range": ETAG}, etag=ETAG, size=10) == Part(4, 6)


@pytest.mark.parametrize("header", ['"abc"', 'W/"abc"', '"x", "abc"', "*"])
def test_what_the_client_has_is_not_sent(header: str) -> None:
    assert answer_to({"if-none-match": header}, etag=ETAG, size=10) == Unchanged()


@given(st.text(max_size=30), st.integers(0, 1000))
def test_a_part_is_always_inside_the_file(header: str, size: int) -> None:
    match answer_to({"range": "bytes=" + header}, etag=ETAG, size=size):
        case Part(start, length):
            assert start >= 0
            assert length > 0
            assert start + length <= size
