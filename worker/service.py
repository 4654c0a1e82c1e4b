"""What the control plane may ask of this worker: the interfaces `Worker` and `Vm`; rights are checked on its side."""

from collections.abc import Awaitable, Callable

import trio

from schema.errors import DeadlineExceeded, NotFound, Unimplemented
from schema.interfaces import SINK_DEADLINE_SECONDS, Console, ExecResult, LogSink
from schema.status import ConnectionInfo, RunningVm, WorkerReport
from worker.console import AttachedConsole, Spawn
from worker.guest.channel import GuestChannel
from worker.live_settings import LiveSettings
from worker.supervise import Supervisor
from worker.vm_log import PIECE_BYTES, POLL_SECONDS, LogReader, last_lines

EXEC_LIMIT_MS = 3_600_000
"""The worker's own limit of a command in a guest."""


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

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink) -> None:
        """See `Vm.get_logs`: what is kept of the guest's console."""
        reader = self._owner.log_of(self._instance)
        await _feed(sink, last_lines(reader.kept(), tail_lines))
        while follow and self._instance in self._owner.supervisor.vms:
            await trio.sleep(POLL_SECONDS)
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
        return ExecResult(done.exit_code, done.stdout, done.stderr)

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
        log_of: Callable[[str], LogReader],
        guest_of: Callable[[str], GuestChannel],
        console_of: Callable[[str], Awaitable[trio.SocketStream]],
        spawn: Spawn,
        settings: LiveSettings,
        stop_agent: Callable[[], None],
    ) -> None:
        self.supervisor = supervisor
        self.report = report
        self.log_of = log_of
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
        if instance not in await self.list_vms():
            raise NotFound(f"this worker has no {instance}")
        return VmService(instance, self)

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """Not yet."""
        raise Unimplemented("this worker cannot drain itself yet")

    async def get_config(self) -> dict[str, str]:
        """See `Worker.get_config`."""
        return self._settings.shown()

    async def update_config(self, key: str, value: str) -> str:
        """See `Worker.update_config`: until the next start. Raises NotFound and InvalidInput."""
        return self._settings.change(key, value)

    async def shutdown(self) -> None:
        """See `Worker.shutdown`."""
        self._stop_agent()


async def _feed(sink: LogSink, data: bytes) -> None:
    """Hand over piece by piece; a reader that is too slow loses its stream."""
    for at in range(0, len(data), PIECE_BYTES):
        with trio.move_on_after(SINK_DEADLINE_SECONDS) as scope:
            await sink.write(data[at : at + PIECE_BYTES])
        if scope.cancelled_caught:
            raise DeadlineExceeded(f"the log's reader took longer than {SINK_DEADLINE_SECONDS:g} s")
