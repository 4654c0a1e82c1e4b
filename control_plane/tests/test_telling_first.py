"""Workers that have news waiting are told before others are heard, and nobody is kept out altogether."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from control_plane.polls import LATER_SECONDS, MOST_LATER_SECONDS, within
from control_plane.telling import EXPECTED_SECONDS, LONGEST_SECONDS, MANY, TOLD_AT_ONCE, TOLD_FOR_ONE_HEARD, Telling


@dataclass
class Held:
    heard: int = 0
    ended: bool = False


@dataclass
class Door:
    """Makes holds, and remembers them."""

    holds: list[Held] = field(default_factory=list)

    def __call__(self) -> "Keeping":
        assert all(one.ended for one in self.holds)
        self.holds.append(Held())
        return Keeping(self.holds[-1])


class Keeping:
    def __init__(self, held: Held) -> None:
        self._held = held

    def hear(self) -> None:
        assert not self._held.ended
        self._held.heard += 1

    def end(self) -> None:
        self._held.ended = True


async def tell(telling: Telling, *, count: int, seconds: float = 0.0) -> int:
    """`count` assignments that take so long each; the most that were made at a time."""
    busy = most = 0

    async def one() -> None:
        nonlocal busy, most
        await telling.begin()
        try:
            busy += 1
            most = max(most, busy)
            await trio.sleep(seconds)
            busy -= 1
        finally:
            telling.end()

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return most


async def test_a_fleet_is_told_while_few_are_heard_and_then_all_are(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    most = await tell(Telling(door), count=1000)
    assert [one.ended for one in door.holds] == [True]
    assert door.holds[0].heard == 1000 // TOLD_FOR_ONE_HEARD
    assert most <= TOLD_AT_ONCE


async def test_a_few_are_told_between_the_words_of_others() -> None:
    door = Door()
    await tell(Telling(door), count=MANY - 1)
    assert not door.holds


async def test_as_many_are_heard_as_told_once_it_takes_long(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    await tell(Telling(door), count=3 * TOLD_AT_ONCE, seconds=LONGEST_SECONDS)
    assert door.holds[0].heard >= 2 * TOLD_AT_ONCE
    assert door.holds[0].ended


async def test_it_is_calm_when_nobody_waits_also_after_some_gave_up(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    telling = Telling(door)
    await telling.calm()
    with trio.move_on_after(1):
        await tell(telling, count=100, seconds=60)
    with trio.fail_after(1):
        await telling.calm()
    assert door.holds[0].ended


@asynccontextmanager
async def looked_after() -> AsyncIterator[tuple[Door, Telling, trio.Nursery]]:
    """A telling whose task runs, and what came of its holds."""
    door = Door()
    telling = Telling(door)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(telling.run)
        yield door, telling, nursery
        nursery.cancel_scope.cancel()


async def test_nobody_is_heard_from_when_a_fleet_is_expected_to_be_told_until_it_was(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with looked_after() as (door, telling, nursery):
        with telling.expected(MANY):
            assert telling.is_near
            await trio.sleep(EXPECTED_SECONDS / 2)
            nursery.start_soon(partial(tell, telling, count=100, seconds=0.01))
            await trio.sleep(0.001)
        assert telling.is_near
        await telling.calm()
        assert [one.ended for one in door.holds] == [True], "one hold from the first moment on"
        assert not telling.is_near


async def test_a_write_that_concerns_nobody_after_all_lets_everyone_in_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with looked_after() as (door, telling, _):
        with telling.expected(MANY):
            pass
        await trio.sleep(0.1)
        assert [one.ended for one in door.holds] == [True]
        with telling.expected(MANY - 1):
            assert not telling.is_near, "few are told between the reports of others"


async def test_a_write_that_takes_long_keeps_nobody_waiting(autojump_clock: trio.testing.MockClock) -> None:
    async with looked_after() as (door, telling, _):
        with telling.expected(MANY):
            await trio.sleep(EXPECTED_SECONDS + 0.1)
            assert [one.ended for one in door.holds] == [True]
            await trio.sleep(60)
        await tell(telling, count=MANY)
        assert [one.ended for one in door.holds] == [True, True]
        with telling.expected(MANY):
            assert telling.is_near


async def test_a_poll_ends_in_its_time_unless_there_will_be_news_soon(autojump_clock: trio.testing.MockClock) -> None:
    async def news_after(seconds: float) -> str:
        await trio.sleep_until(began + seconds)
        return "news"

    async def passed(news_s: float, *, near_s: float) -> tuple[str | None, float]:
        def is_near() -> bool:
            return trio.current_time() < began + near_s

        return await within(10, partial(news_after, news_s), is_near=is_near), trio.current_time() - began

    for news_s, near_s, found, after in (
        (12, 0, None, 10),
        (12, 60, "news", 12),
        (60, 11, None, 11),
        (60, 60, None, 10 + MOST_LATER_SECONDS),
    ):
        began = trio.current_time()
        told, seconds = await passed(news_s, near_s=near_s)
        assert told == found
        assert after <= seconds <= after + LATER_SECONDS
