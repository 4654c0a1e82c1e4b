"""Who is told first: workers that have news waiting before those that have something to say; it knows no assignment.

After a change of a whole fleet each worker that has been told reports at once, and a report costs as much as an
assignment. If both took turns, the last worker would learn of the change when most have reported about it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import trio

TOLD_AT_ONCE = 64
"""Assignments that are made in one step of the scheduler: they are on their way before the next ones take memory."""
MANY = 16
"""Fewer than these are told between the reports of others."""
TOLD_FOR_ONE_HEARD = 64
"""How many are told before one of those is heard who wait meanwhile: nobody is kept out altogether."""
EXPECTED_SECONDS = 2.0
"""How long no worker is heard, at most, while what most of a fleet will be told is still being written."""
LONGEST_SECONDS = 8.0
"""After so long, from when it was expected on, as many are heard as are told: workers wait 20 s for an answer."""


class Hold(Protocol):
    """Keeps workers from being heard from its making on."""

    def hear(self) -> None:
        """Let the one in that has waited longest."""

    def end(self) -> None:
        """Let everyone in."""


class Telling:
    """`hold` makes a `Hold`; there is never more than one."""

    def __init__(self, hold: Callable[[], Hold]) -> None:
        self._make_hold = hold
        self._hold: Hold | None = None
        self._since = 0.0
        self._turns = trio.Semaphore(TOLD_AT_ONCE)
        self._waiting = 0
        self._told = 0
        self._expected = trio.Event()
        self._written = trio.Event()
        self._calm = trio.Event()
        self._calm.set()

    @property
    def is_near(self) -> bool:
        """Whether a fleet is being told, or is about to be: no poll needs to end without news now."""
        return self._hold is not None

    async def run(self) -> None:
        """See to it, until cancelled, that others are heard when what was expected is long in coming."""
        while True:
            await self._expected.wait()
            with trio.move_on_after(EXPECTED_SECONDS):
                await self._written.wait()
            self._expected = trio.Event()
            self._end_when_done()

    @contextmanager
    def expected(self, workers: int) -> Iterator[None]:
        """What so many workers will be told is written within it; reports from now on would only make them wait."""
        if workers < MANY:
            yield
            return
        self._written = trio.Event()
        self._expected.set()
        self._begin_hold()
        try:
            yield
        finally:
            self._written.set()

    async def begin(self) -> None:
        """One assignment may be made; whoever began ends, also where it came to nothing."""
        self._begin()
        with ExitStack() as undo:
            undo.callback(self._end)
            await self._turns.acquire()
            undo.pop_all()

    def end(self) -> None:
        """It is on its way."""
        self._turns.release()
        self._end()

    async def calm(self) -> None:
        """Wait until nobody has news waiting."""
        await self._calm.wait()

    def _begin(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._calm = trio.Event()
        if self._waiting == MANY:
            self._begin_hold()

    def _begin_hold(self) -> None:
        if self._hold is None:
            self._hold, self._since = self._make_hold(), trio.current_time()

    def _end(self) -> None:
        self._waiting -= 1
        self._told += 1
        if self._hold is not None:
            late = trio.current_time() - self._since > LONGEST_SECONDS
            if late or self._told % TOLD_FOR_ONE_HEARD == 0:
                self._hold.hear()
        if not self._waiting:
            self._calm.set()
        self._end_when_done()

    def _end_when_done(self) -> None:
        if self._hold is not None and not self._waiting and not self._expected.is_set():
            self._hold.end()
            self._hold = None
