"""What `pcr tui` shows, kept fresh by a thread of its own that runs trio; it draws nothing.

Textual runs asyncio in its thread, and the RPC has an event loop of its own under trio: two threads keep them apart.
This one hears the events of `watch` and asks for the status after each burst of them, and every few seconds besides.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import trio

from cli.session import control_plane
from cli.settings import Target
from schema.errors import NotFound, ProcuratorError
from schema.interfaces import Role
from schema.operations import Explanation, RolloutStatus
from schema.rpc.client import RemoteMaster
from schema.status import ClusterStatus, Cursor, Event

GATHER_SECONDS = 0.25
"""Events within this time are answered by one look at the status."""
REFRESH_SECONDS = 3.0
RETRY_SECONDS = 1.0
MOST_EVENTS = 500
FROM_THE_OLDEST = Cursor(epoch="", sequence=0)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is known at one moment. `away`: why the control plane cannot be asked now, empty when it can."""

    status: ClusterStatus | None = None
    rollout: RolloutStatus | None = None
    events: tuple[Event, ...] = ()
    away: str = ""


class Source:
    """The thread. `on_scene` is called in it with each new scene; `explained` with each answer that was asked for."""

    def __init__(
        self, target: Target, *, on_scene: Callable[[Scene], None], on_explained: Callable[[Explanation], None]
    ) -> None:
        self._target = target
        self._on_scene = on_scene
        self._on_explained = on_explained
        self._thread = threading.Thread(target=trio.run, args=(self._main,), name="control plane", daemon=True)
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._wanted = ""
        self._status: ClusterStatus | None = None
        self._rollout: RolloutStatus | None = None
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._cursor = FROM_THE_OLDEST

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Stop asking; returns when the thread has ended or after 5 s."""
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._scope.cancel)
            except trio.RunFinishedError:
                return
            self._thread.join(5)

    def explain(self, instance: str) -> None:
        """Ask why `instance` is where it is; the newest question wins."""
        self._wanted = instance
        if self._token is not None:
            self._token.run_sync_soon(self._news.set)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._news = trio.Event()
        with self._scope:
            while True:
                try:
                    await self._while_connected()
                except* ProcuratorError as group:
                    self._tell(away=_first(group))
                await trio.sleep(RETRY_SECONDS)

    async def _while_connected(self) -> None:
        async with control_plane(self._target, Role.VIEWER) as master, trio.open_nursery() as nursery:
            nursery.start_soon(master.watch, self, self._cursor)
            while True:
                self._news = trio.Event()
                self._status = await master.get_cluster_status()
                rollouts = await master.list_rollouts(limit=1, before=0)
                self._rollout = rollouts[0] if rollouts else None
                self._tell()
                await self._answer(master)
                with trio.move_on_after(REFRESH_SECONDS):
                    await self._news.wait()
                    await trio.sleep(GATHER_SECONDS)

    async def _answer(self, master: RemoteMaster) -> None:
        wanted, self._wanted = self._wanted, ""
        if wanted:
            with suppress(NotFound):  # it left meanwhile, as the tables will show
                self._on_explained(await master.explain(wanted))

    async def event(self, event: Event, cursor: Cursor) -> None:
        """`EventSink`."""
        self._cursor = cursor
        self._events.append(event)
        self._news.set()

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        """`EventSink`."""
        self._cursor = cursor
        self._news.set()

    def _tell(self, *, away: str = "") -> None:
        self._on_scene(Scene(self._status, self._rollout, tuple(self._events), away))


def _first(group: BaseExceptionGroup[ProcuratorError]) -> str:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first.message
