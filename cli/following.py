"""Follow the control plane's events over its restarts and ours; it prints nothing."""

import math
from collections.abc import Callable

import trio

from cli.session import control_plane
from cli.settings import Target
from schema.errors import ProcuratorError
from schema.interfaces import Role
from schema.status import ClusterStatus, Cursor, Event

RETRY_SECONDS = 1.0
QUIET_SECONDS = 0.5
"""Without `follow`: when nothing has come for so long, what was kept has been told."""
FROM_THE_OLDEST = Cursor(epoch="", sequence=0)


class _Telling:
    """`EventSink`: hands events on and remembers where the stream is."""

    def __init__(self, on_event: Callable[[Event], None], on_note: Callable[[str], None]) -> None:
        self._on_event = on_event
        self._on_note = on_note
        self.cursor = FROM_THE_OLDEST
        self._news = trio.Event()

    async def event(self, event: Event, cursor: Cursor) -> None:
        self._note_place(cursor)
        self._on_event(event)

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        self._on_note("some events were missed: the stream goes on from now")
        self._note_place(cursor)

    def _note_place(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._news.set()
        self._news = trio.Event()

    async def until_quiet(self, seconds: float) -> None:
        """Return when nothing has come for so long."""
        while True:
            with trio.move_on_after(seconds) as waiting:
                await self._news.wait()
            if waiting.cancelled_caught:
                return


async def follow_events(
    target: Target, *, follow: bool, on_event: Callable[[Event], None], on_note: Callable[[str], None]
) -> None:
    """Tell `on_event` what comes, and with `follow` go on until cancelled.

    `on_note` hears of gaps and of a control plane that went away. Raises what asking again will not cure.
    """
    sink = _Telling(on_event, on_note)
    while True:
        try:
            async with control_plane(target, Role.VIEWER) as master, trio.open_nursery() as nursery:
                nursery.start_soon(master.watch, sink, sink.cursor)
                await sink.until_quiet(math.inf if follow else QUIET_SECONDS)
                nursery.cancel_scope.cancel()
            return
        except* ProcuratorError as group:
            final = [error for error in _leaves(group) if not error.transient]
            if final or not follow:
                raise (final or _leaves(group))[0] from group
            on_note(f"{_leaves(group)[0].message}; trying again")
        await trio.sleep(RETRY_SECONDS)


def _leaves(group: BaseExceptionGroup[ProcuratorError]) -> list[ProcuratorError]:
    found: list[ProcuratorError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
