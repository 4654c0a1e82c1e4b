"""The workers that are connected now, and their capabilities behind wrappers that fall silent with the connection.

A capability of a worker is never handed out raw: each call of a wrapper looks up who is connected at that moment.
Rights are checked in front of it, in `schema.rpc`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from schema.errors import Unavailable
from schema.interfaces import Console, ExecResult, LogSink, Vm, Worker
from schema.status import ConnectionInfo, RunningVm, WorkerReport

Connected = Callable[[], Worker]
"""The worker's capability now. Raises Unavailable when it is not connected."""


@dataclass(slots=True)
class Connections:
    """Worker id → the capability of its newest connection."""

    _workers: dict[str, Worker] = field(default_factory=dict)

    def attach(self, worker_id: str, worker: Worker) -> None:
        """A connection has come; it takes the place of an older one, which may be half dead."""
        self._workers[worker_id] = worker

    def detach(self, worker_id: str, worker: Worker) -> bool:
        """A connection has ended; False when it was not the newest."""
        if self._workers.get(worker_id) is not worker:
            return False
        del self._workers[worker_id]
        return True

    def is_current(self, worker_id: str, worker: Worker) -> bool:
        """Whether `worker` is the newest connection of that id."""
        return self._workers.get(worker_id) is worker

    def current(self, worker_id: str) -> Worker:
        """The newest connection's capability. Raises Unavailable."""
        worker = self._workers.get(worker_id)
        if worker is None:
            raise Unavailable(f"worker {worker_id!r} is not connected")
        return worker


class ForwardedWorker:
    """A worker as people reach it."""

    def __init__(self, connected: Connected) -> None:
        self._connected = connected

    async def read(self) -> WorkerReport:
        """As Worker.read."""
        return await self._connected().read()

    async def list_vms(self) -> tuple[str, ...]:
        """As Worker.list_vms."""
        return await self._connected().list_vms()

    async def get_vm(self, instance: str) -> Vm:
        """As Worker.get_vm; what it answers is a wrapper too."""
        await self._connected().get_vm(instance)
        return ForwardedVm(self._connected, instance)

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """As Worker.drain."""
        await self._connected().drain(deadline_ms=deadline_ms, reason=reason)

    async def get_config(self) -> dict[str, str]:
        """As Worker.get_config."""
        return await self._connected().get_config()

    async def update_config(self, key: str, value: str) -> str:
        """As Worker.update_config."""
        return await self._connected().update_config(key, value)

    async def shutdown(self) -> None:
        """As Worker.shutdown."""
        await self._connected().shutdown()

    async def delete_volume(self, instance: str, volume: str) -> None:
        """As Worker.delete_volume."""
        await self._connected().delete_volume(instance, volume)


class ForwardedVm:
    """An instance on whatever connection its worker has at the moment of each call."""

    def __init__(self, connected: Connected, instance: str) -> None:
        self._connected = connected
        self._instance = instance

    async def _vm(self) -> Vm:
        return await self._connected().get_vm(self._instance)

    async def read(self) -> RunningVm:
        """As Vm.read."""
        return await (await self._vm()).read()

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        """As Vm.get_logs."""
        await (await self._vm()).get_logs(follow=follow, tail_lines=tail_lines, sink=sink, hypervisor=hypervisor)

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        """As Vm.exec."""
        return await (await self._vm()).exec(command, args, stdin=stdin, deadline_ms=deadline_ms)

    async def console(self, output: LogSink, *, columns: int, rows: int) -> Console:
        """As Vm.console; what it answers ends with the worker's connection."""
        return await (await self._vm()).console(output, columns=columns, rows=rows)

    async def get_connection_info(self) -> ConnectionInfo:
        """As Vm.get_connection_info."""
        return await (await self._vm()).get_connection_info()

    async def restart(self) -> None:
        """As Vm.restart."""
        await (await self._vm()).restart()
