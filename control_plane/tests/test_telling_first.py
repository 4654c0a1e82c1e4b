"""Workers that have news waiting are told before others are heard, and nobody is kept out altogether."""

from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

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


@asynccontextmanager
async def looked_after() -> AsyncIterator[tuple[Door, Telling]]:
    """A telling whose task runs, and what came of its holds."""
    door = Door()
    telling = Telling(door)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(telling.run)
        yield door, telling
        nursery.cancel_scope.cancel()


class Steps(trio.abc.Instrument):
    """How many were told at the end of each step of a task in which anybody was, whichever order tasks run in."""

    def __init__(self, told: Sized) -> None:
        self._told = told
        self.ends: list[int] = []

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if len(self._told) > (self.ends[-1] if self.ends else 0):
            self.ends.append(len(self._told))


async def tell(telling: Telling, *, count: int) -> None:
    """Tell so many, and wait until they are."""
    told: list[int] = []
    telling.tell([partial(told.append, number) for number in range(count)])
    assert not told, "not while what is known changes"
    await telling.calm()
    assert told == list(range(count))


async def test_a_fleet_is_told_while_few_are_heard_and_then_all_are(autojump_clock: trio.testing.MockClock) -> None:
    async with looked_after() as (door, telling):
        await tell(telling, count=1000)
        assert [one.ended for one in door.holds] == [True]
        assert door.holds[0].heard == 1000 // TOLD_FOR_ONE_HEARD


async def test_what_was_told_is_on_its_way_before_many_more_are() -> None:
    told: list[int] = []
    steps = Steps(told)
    async with looked_after() as (_, telling):
        telling.tell([partial(told.append, number) for number in range(3 * TOLD_AT_ONCE)])
        trio.lowlevel.add_instrument(steps)
        await telling.calm()
        trio.lowlevel.remove_instrument(steps)
    assert steps.ends == [TOLD_AT_ONCE, 2 * TOLD_AT_ONCE, 3 * TOLD_AT_ONCE]


async def test_a_few_are_told_between_the_words_of_others() -> None:
    async with looked_after() as (door, telling):
        await tell(telling, count=MANY - 1)
        assert not door.holds


async def test_as_many_are_heard_as_told_once_it_takes_long(autojump_clock: trio.testing.MockClock) -> None:
    async with looked_after() as (door, telling):
        clock = autojump_clock
        telling.tell([lambda: clock.jump(LONGEST_SECONDS / TOLD_AT_ONCE)] * (3 * TOLD_AT_ONCE))
        await telling.calm()
        assert door.holds[0].heard >= 2 * TOLD_AT_ONCE - 1
        assert door.holds[0].ended


async def test_it_is_calm_when_nobody_has_news_waiting(autojump_clock: trio.testing.MockClock) -> None:
    async with looked_after() as (_, telling):
        with trio.fail_after(1):
            await telling.calm()
            telling.tell([])
            await telling.calm()


async def test_nobody_is_heard_from_when_a_fleet_is_expected_to_be_told_until_it_was(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with looked_after() as (door, telling):
        with telling.expected(MANY):
            assert telling.is_near
            await trio.sleep(EXPECTED_SECONDS / 2)
            telling.tell([lambda: None] * 100)
        assert telling.is_near
        await telling.calm()
        assert [one.ended for one in door.holds] == [True], "one hold from the first moment on"
        assert not telling.is_near


async def test_a_write_that_concerns_nobody_after_all_lets_everyone_in_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with looked_after() as (door, telling):
        with telling.expected(MANY):
            pass
        await trio.sleep(0.1)
        assert [one.ended for one in door.holds] == [True]
        with telling.expected(MANY - 1):
            assert not telling.is_near, "few are told between the reports of others"


async def test_a_write_that_takes_long_keeps_nobody_waiting(autojump_clock: trio.testing.MockClock) -> None:
    async with looked_after() as (door, telling):
        with telling.expected(MANY):
            await trio.sleep(EXPECTED_SECONDS + 0.1)
            assert [one.ended for one in door.holds] == [True]
            await trio.sleep(60)
        await tell(telling, count=MANY)
        assert [one.ended for one in door.holds] == [True, True]
        with telling.expected(MANY):
            assert telling.is_near
