"""Who is told first: workers that have news waiting before those that have something to say; it knows no assignment.

They are told here, one after another, by one task.

After a change of a whole fleet each worker that has been told reports at once, and a report costs as much as an
assignment. If both took turns, the last worker would learn of the change when most have reported about it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
    """`hold` makes a `Hold`; there is never more than one. `run` must be running for anybody to be told."""

    def __init__(self, hold: Callable[[], Hold]) -> None:
        self._make_hold = hold
        self._hold: Hold | None = None
        self._since = 0.0
        self._queue: deque[Callable[[], None]] = deque()
        self._told = 0
        self._wanted = trio.Event()
        self._expected = trio.Event()
        self._written = trio.Event()
        self._calm = trio.Event()
        self._calm.set()

    @property
    def is_near(self) -> bool:
        """Whether a fleet is being told, or is about to be: no poll needs to end without news now."""
        return self._hold is not None

    async def run(self) -> None:
        """Tell whoever is to be told, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_after_what_is_expected)
            while True:
                await self._wanted.wait()
                self._wanted = trio.Event()
                while self._queue:
                    self._tell_some()
                    await trio.lowlevel.checkpoint()
                self._calm.set()
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

    def tell(self, wakes: Iterable[Callable[[], None]]) -> None:
        """Have each called, soon: it makes an assignment and sends it."""
        self._queue.extend(wakes)
        if not self._queue:
            return
        if self._calm.is_set():
            self._calm = trio.Event()
        if len(self._queue) >= MANY:
            self._begin_hold()
        self._wanted.set()

    async def calm(self) -> None:
        """Wait until nobody has news waiting."""
        await self._calm.wait()

    def _tell_some(self) -> None:
        for _ in range(min(TOLD_AT_ONCE, len(self._queue))):
            self._queue.popleft()()
            self._told += 1
            if self._hold is not None:
                late = trio.current_time() - self._since > LONGEST_SECONDS
                if late or self._told % TOLD_FOR_ONE_HEARD == 0:
                    self._hold.hear()

    async def _look_after_what_is_expected(self) -> None:
        """Others are heard when what was expected is long in coming."""
        while True:
            await self._expected.wait()
            with trio.move_on_after(EXPECTED_SECONDS):
                await self._written.wait()
            self._expected = trio.Event()
            self._end_when_done()

    def _begin_hold(self) -> None:
        if self._hold is None:
            self._hold, self._since = self._make_hold(), trio.current_time()

    def _end_when_done(self) -> None:
        if self._hold is not None and not self._queue and not self._expected.is_set():
            self._hold.end()
            self._hold = None
