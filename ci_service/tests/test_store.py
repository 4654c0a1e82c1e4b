"""Builds on a real SQLite database, the log files and the updates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from ci_service import pipeline
from ci_service.logs import MAX_LOG_BYTES, BuildLog, log_path, read_page
from ci_service.store import BuildStore, Reservation
from ci_service.tests.builders import a_build, a_notice
from ci_service.updates import Updates
from schema.builds import BuildState
from schema.errors import NotFound


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[BuildStore]:
    opened = BuildStore(f"sqlite:///{tmp_path / 'ci.db'}")
    await opened.open()
    yield opened
    await opened.close()


def delivery(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


async def test_the_same_delivery_makes_one_build(store: BuildStore) -> None:
    first, is_new = await store.accept(a_notice(), now_ms=1)
    again, is_new_again = await store.accept(a_notice(), now_ms=2)
    assert (is_new, is_new_again) == (True, False)
    assert again == first


async def test_a_queue_survives_its_process(tmp_path: Path, store: BuildStore) -> None:
    await store.accept(a_notice(), now_ms=1)
    other = BuildStore(f"sqlite:///{tmp_path / 'ci.db'}")
    await other.open()
    assert [queued.id for queued in await other.waiting()] == [1]
    await other.close()


async def test_a_reserved_number_is_repeated(store: BuildStore) -> None:
    build, _ = await store.accept(a_notice(), now_ms=1)
    assert await store.reservation(build.id) is None
    await store.reserve(build.id, Reservation(7, "a" * 64))
    assert await store.reservation(build.id) == Reservation(7, "a" * 64)
    assert await store.highest_reserved() == 7


async def test_pages_go_back_in_time(store: BuildStore) -> None:
    for number in range(5):
        await store.accept(a_notice(delivery=delivery(number)), now_ms=number)
    page = await store.page(repository="demo/example", commit=None, before=None, limit=2)
    assert ([build.id for build in page.builds], page.next_before) == ([5, 4], 4)
    page = await store.page(repository=None, commit=None, before=2, limit=2)
    assert ([build.id for build in page.builds], page.next_before) == ([1], None)
    assert not (await store.page(repository="a/b", commit=None, before=None, limit=2)).builds


async def test_a_build_that_does_not_exist_is_named(store: BuildStore) -> None:
    with pytest.raises(NotFound, match="no build 9"):
        await store.build(9)


async def test_a_saved_build_is_found_by_its_state(store: BuildStore) -> None:
    build, _ = await store.accept(a_notice(), now_ms=1)
    await store.save(pipeline.started(build))
    assert [found.id for found in await store.in_state(BuildState.RUNNING)] == [1]
    assert await store.waiting() == ()


def test_a_log_is_read_in_whole_lines_and_without_escapes(tmp_path: Path) -> None:
    log = BuildLog(log_path(tmp_path, 1))
    log.line("one\x1b[31m two\x07")
    log.line("three")
    page = read_page(log.path, offset=0, over=False)
    assert (page.text, page.complete) == ("one two\nthree\n", False)
    assert read_page(log.path, offset=page.next_offset, over=True).complete
    assert log.tail == ["one two", "three"]


def test_a_log_has_an_end(tmp_path: Path) -> None:
    log = BuildLog(log_path(tmp_path, 1))
    log._size = MAX_LOG_BYTES - 3
    log.line("too long")
    log.line("unseen")
    assert log.path.read_text().endswith("reached its limit)\n")
    assert log.tail[-1] == "unseen"


async def test_a_slow_listener_gets_the_newest_form_of_each_build() -> None:
    updates = Updates()
    with updates.subscription() as changes:
        updates.publish(a_build(subject="old"))
        updates.publish(a_build(id=2))
        updates.publish(a_build(subject="new"))
        assert (await changes.receive()).subject == "new"
        assert (await changes.receive()).id == 2
        with trio.move_on_after(0.01) as waited:
            await changes.receive()
        assert waited.cancelled_caught
