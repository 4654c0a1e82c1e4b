"""Sinks on both ends: a proxy that sends to one, and the handlers that take for one."""

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from schema.codec.reports import CLUSTER_STATUS, CURSOR, EVENT
from schema.codec.wire import master, worker
from schema.interfaces import SINK_DEADLINE_SECONDS, EventSink, LogSink
from schema.rpc.handlers import method, no_results
from schema.rpc.remote import Remote
from schema.rpc.transport.connection import Connection
from schema.status import ClusterStatus, Cursor, Event

Check = Callable[[], None]
LOG_PIECE_BYTES = 64 * 1024


def _unchecked() -> None:
    pass


class _RemoteSink(Remote):
    """One call in flight, each within the sink's deadline, none once the stream's session is over."""

    def __init__(self, capability: Any, connection: Connection, check: Check = _unchecked) -> None:
        super().__init__(capability, connection)
        self._check = check
        self._turn = trio.Lock()

    async def _push(self, request: Any) -> None:
        async with self._turn:
            self._check()
            await self._tell(request, deadline=SINK_DEADLINE_SECONDS)


class RemoteLogSink(_RemoteSink):
    """A LogSink at the other side."""

    async def write(self, data: bytes) -> None:
        """As the Protocol; longer data goes in several pieces."""
        for at in range(0, len(data), LOG_PIECE_BYTES):
            request = self._request("write")
            request.data = data[at : at + LOG_PIECE_BYTES]
            await self._push(request)


class RemoteEventSink(_RemoteSink):
    """An EventSink at the other side."""

    async def event(self, event: Event, cursor: Cursor) -> None:
        """As the Protocol."""
        request = self._request("event")
        EVENT.write(request.init("event"), event)
        CURSOR.write(request.init("cursor"), cursor)
        await self._push(request)

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        """As the Protocol."""
        request = self._request("resync")
        CLUSTER_STATUS.write(request.init("snapshot"), snapshot)
        CURSOR.write(request.init("cursor"), cursor)
        await self._push(request)


def export_log_sink(connection: Connection, sink: LogSink) -> Any:
    """A capability that writes into `sink`."""
    write = method(read=lambda params: params.data, call=sink.write, write=no_results)
    return connection.export(worker.LogSink, {"write": write})


def export_event_sink(connection: Connection, sink: EventSink) -> Any:
    """A capability that feeds `sink`."""

    def event(pair: tuple[Event, Cursor]) -> Coroutine[Any, Any, None]:
        return sink.event(*pair)

    def resync(pair: tuple[ClusterStatus, Cursor]) -> Coroutine[Any, Any, None]:
        return sink.resync(*pair)

    return connection.export(
        master.EventSink,
        {
            "event": method(
                read=lambda params: (EVENT.read(params.event), CURSOR.read(params.cursor)),
                call=event,
                write=no_results,
                target=sink.event,
            ),
            "resync": method(
                read=lambda params: (CLUSTER_STATUS.read(params.snapshot), CURSOR.read(params.cursor)),
                call=resync,
                write=no_results,
                target=sink.resync,
            ),
        },
    )
