"""What people do to workers and VMs directly, written to the audit before it is done; it does nothing else itself.

Reading is not written. What a command is given may be a secret, so only its name and a hash of its arguments are. What
cannot be written is not done: the caller is told that it is unavailable now.
"""

from dataclasses import dataclass

from control_plane.audit import AuditDraft
from control_plane.authority import Authority
from schema.canonical import canonical_bytes, sha256_hex
from schema.interfaces import Console, ExecResult, Identity, LogSink, Vm, Worker
from schema.status import ConnectionInfo, RunningVm, WorkerReport

ASKED = "asked"
"""The result of what is handed on to a worker: how it ends is not known when it is written."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes what one identity asks for."""

    identity: Identity
    authority: Authority

    async def __call__(self, action: str, subject: str, *, old: str = "", new: str = "") -> None:
        """Returns when it is on disk. Raises Unavailable."""
        draft = AuditDraft.by(self.identity, action, subject=subject, old=old, new=new)
        await self.authority.record(draft, result=ASKED)


class AuditedWorker:
    """`Worker` on behalf of one identity."""

    def __init__(self, worker: Worker, record: Recorder, *, worker_id: str) -> None:
        self._worker = worker
        self._record = record
        self._id = worker_id

    async def read(self) -> WorkerReport:
        """As Worker.read."""
        return await self._worker.read()

    async def list_vms(self) -> tuple[str, ...]:
        """As Worker.list_vms."""
        return await self._worker.list_vms()

    async def get_vm(self, instance: str) -> Vm:
        """As Worker.get_vm; what it answers is audited too."""
        return AuditedVm(await self._worker.get_vm(instance), self._record, instance=instance)

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """As Worker.drain."""
        await self._record("Worker.drain", self._id, new=f"deadline {deadline_ms} ms: {reason}")
        await self._worker.drain(deadline_ms=deadline_ms, reason=reason)

    async def get_config(self) -> dict[str, str]:
        """As Worker.get_config."""
        return await self._worker.get_config()

    async def update_config(self, key: str, value: str) -> str:
        """As Worker.update_config."""
        old = (await self._worker.get_config()).get(key, "")
        await self._record("Worker.updateConfig", self._id, old=f"{key} = {old}", new=f"{key} = {value}")
        return await self._worker.update_config(key, value)

    async def shutdown(self) -> None:
        """As Worker.shutdown."""
        await self._record("Worker.shutdown", self._id)
        await self._worker.shutdown()

    async def delete_volume(self, instance: str, volume: str) -> None:
        """As Worker.delete_volume."""
        await self._record("Worker.deleteVolume", self._id, old=f"{instance}/{volume}")
        await self._worker.delete_volume(instance, volume)


class AuditedVm:
    """`Vm` on behalf of one identity."""

    def __init__(self, vm: Vm, record: Recorder, *, instance: str) -> None:
        self._vm = vm
        self._record = record
        self._instance = instance

    async def read(self) -> RunningVm:
        """As Vm.read."""
        return await self._vm.read()

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        """As Vm.get_logs."""
        await self._vm.get_logs(follow=follow, tail_lines=tail_lines, sink=sink, hypervisor=hypervisor)

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        """As Vm.exec."""
        given = (
            f"{command}, {len(args)} arguments, sha256 {sha256_hex(canonical_bytes(list(args)))}" if args else command
        )
        await self._record("Vm.exec", self._instance, new=given)
        return await self._vm.exec(command, args, stdin=stdin, deadline_ms=deadline_ms)

    async def console(self, output: LogSink, *, columns: int, rows: int) -> Console:
        """As Vm.console."""
        await self._record("Vm.console", self._instance)
        return await self._vm.console(output, columns=columns, rows=rows)

    async def get_connection_info(self) -> ConnectionInfo:
        """As Vm.get_connection_info."""
        return await self._vm.get_connection_info()

    async def restart(self) -> None:
        """As Vm.restart."""
        await self._record("Vm.restart", self._instance)
        await self._vm.restart()
