"""What the control plane may ask of this worker: the interfaces `Worker` and `Vm`; rights are checked on its side."""

import logging
import math
from collections.abc import Awaitable, Callable

import trio

from schema.errors import Conflict, DeadlineExceeded, NotFound
from schema.interfaces import SINK_DEADLINE_SECONDS, Console, ExecResult, LogSink
from schema.names import printable
from schema.status import ConnectionInfo, RunningVm, WorkerReport
from worker.console import AttachedConsole, Spawn
from worker.guest.channel import GuestChannel, Outcome
from worker.live_settings import LiveSettings
from worker.supervise import Supervisor
from worker.vm_log import PIECE_BYTES, POLL_SECONDS, LogReader, last_lines
from worker.vmm.runtime_dir import RuntimeDir
from worker.volumes import Volumes, is_label

log = logging.getLogger(__name__)

EXEC_LIMIT_MS = 3_600_000
"""The worker's own limit of a command in a guest."""


CUT = b"\nprocurator: it said more than 1 MiB on one of its outputs; the rest is thrown away\n"


def exec_result(done: Outcome) -> ExecResult:
    """What the caller hears of a command's end; behind its error output, whether something was thrown away."""
    return ExecResult(done.exit_code, done.stdout, done.stderr + (CUT if done.is_cut else b""))


class VmService:
    """One instance of this worker."""

    def __init__(self, instance: str, owner: "WorkerService") -> None:
        self._instance = instance
        self._owner = owner

    async def read(self) -> RunningVm:
        """See `Vm.read`. Raises NotFound when it has left."""
        for vm in self._owner.report().running_vms:
            if vm.instance == self._instance:
                return vm
        raise NotFound(f"this worker has no {self._instance}")

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        """See `Vm.get_logs`. Raises NotFound where nothing is kept (any more)."""
        logs = self._owner.logs_of(self._instance)
        if logs is None:
            raise NotFound(f"this worker has no logs of {self._instance}")
        reader = LogReader(logs.hypervisor_log if hypervisor else logs.serial_log)
        await _feed(sink, last_lines(reader.kept(), tail_lines))
        while follow and self._instance in self._owner.supervisor.vms:
            await trio.sleep(POLL_SECONDS)
            await _feed(sink, reader.more())
        left = self._owner.logs_of(self._instance) if follow else None
        if left is not None:  # its last words, wherever they are kept now
            reader.follow_to(left.hypervisor_log if hypervisor else left.serial_log)
            await _feed(sink, reader.more())

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        """See `Vm.exec`. Raises NotFound, Unavailable (no agent answers), InvalidInput and DeadlineExceeded."""
        if self._instance not in self._owner.supervisor.vms:
            raise NotFound(f"this worker has no {self._instance}")
        guest = self._owner.guest_of(self._instance)
        done = await guest.exec(command, args, stdin=stdin, deadline_ms=deadline_ms or EXEC_LIMIT_MS)
        if done.timed_out:
            raise DeadlineExceeded(f"{command} was killed after {(deadline_ms or EXEC_LIMIT_MS) / 1000:g} s")
        return exec_result(done)

    async def console(self, output: LogSink, *, columns: int, rows: int) -> Console:
        """See `Vm.console`. Raises NotFound, and Unavailable where its process or its shim is gone."""
        if self._instance not in self._owner.supervisor.vms:
            raise NotFound(f"this worker has no {self._instance}")
        console = AttachedConsole(await self._owner.console_of(self._instance), output)
        self._owner.spawn(console.run)
        return console

    async def get_connection_info(self) -> ConnectionInfo:
        """See `Vm.get_connection_info`."""
        vm = await self.read()
        desired = self._owner.supervisor.desired.get(self._instance)
        ports = desired.content.spec.network.ports if desired else ()
        return ConnectionInfo(
            instance=self._instance,
            address=vm.address,
            worker_id=self._owner.report().worker_id,
            ports=tuple(f"{port.name}:{port.port}" for port in ports),
        )

    async def restart(self) -> None:
        """See `Vm.restart`. Raises NotFound."""
        self._owner.supervisor.restart(self._instance)


class WorkerService:
    """The worker itself."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        report: Callable[[], WorkerReport],
        logs_of: Callable[[str], RuntimeDir | None],
        volumes: Volumes,
        guest_of: Callable[[str], GuestChannel],
        console_of: Callable[[str], Awaitable[trio.SocketStream]],
        spawn: Spawn,
        settings: LiveSettings,
        stop_agent: Callable[[], None],
    ) -> None:
        self.supervisor = supervisor
        self.report = report
        self.logs_of = logs_of
        self._volumes = volumes
        self.guest_of = guest_of
        self.console_of = console_of
        self.spawn = spawn
        self._settings = settings
        self._stop_agent = stop_agent

    async def read(self) -> WorkerReport:
        """See `Worker.read`."""
        return self.report()

    async def list_vms(self) -> tuple[str, ...]:
        """See `Worker.list_vms`."""
        return tuple(vm.instance for vm in self.report().running_vms)

    async def get_vm(self, instance: str) -> VmService:
        """See `Worker.get_vm`. Raises NotFound."""
        if instance not in await self.list_vms() and not (is_label(instance) and self.logs_of(instance)):
            raise NotFound(f"this worker has no {instance}")
        return VmService(instance, self)

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """See `Worker.drain`."""
        self.supervisor.drain(reason=printable(reason)[:200], seconds=deadline_ms / 1000 if deadline_ms else math.inf)

    async def get_config(self) -> dict[str, str]:
        """See `Worker.get_config`."""
        return self._settings.shown()

    async def update_config(self, key: str, value: str) -> str:
        """See `Worker.update_config`: until the next start. Raises NotFound and InvalidInput."""
        return self._settings.change(key, value)

    async def shutdown(self) -> None:
        """See `Worker.shutdown`."""
        self._stop_agent()

    async def delete_volume(self, instance: str, volume: str) -> None:
        """See `Worker.delete_volume`. Raises NotFound, Conflict and InvalidInput."""
        if instance in self.supervisor.vms or instance in self.supervisor.desired:
            raise Conflict(f"{instance} is here or is assigned here: its volumes are not deleted")
        self._volumes.delete(instance, volume)
        log.warning("volume %s/%s is deleted, as was asked for", instance, volume)


async def _feed(sink: LogSink, data: bytes) -> None:
    """Hand over piece by piece; a reader that is too slow loses its stream."""
    for at in range(0, len(data), PIECE_BYTES):
        with trio.move_on_after(SINK_DEADLINE_SECONDS) as scope:
            await sink.write(data[at : at + PIECE_BYTES])
        if scope.cancelled_caught:
            raise DeadlineExceeded(f"the log's reader took longer than {SINK_DEADLINE_SECONDS:g} s")
