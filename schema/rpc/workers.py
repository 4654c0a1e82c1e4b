"""Worker and Vm on both ends: proxies that implement the Protocols, and capabilities that expose implementations."""

from collections.abc import Coroutine
from typing import Any

from schema.codec.fields import writing
from schema.codec.reports import CONNECTION_INFO, RUNNING_VM, WORKER_REPORT
from schema.codec.wire import worker as wire
from schema.errors import TooLarge
from schema.interfaces import MAX_STDIN_BYTES, Console, ExecResult, LogSink, Vm, Worker
from schema.rpc.consoles import RemoteConsole, export_console
from schema.rpc.handlers import Guard, guarded, method, no_results, nothing
from schema.rpc.remote import Remote, ignore
from schema.rpc.sinks import RemoteLogSink, export_log_sink
from schema.rpc.transport.calls import Handler
from schema.rpc.transport.connection import Connection
from schema.status import ConnectionInfo, RunningVm, WorkerReport


class RemoteVm(Remote):
    """A Vm at the other side."""

    async def read(self) -> RunningVm:
        """As the Protocol."""
        return await self._ask(self._request("read"), lambda reply: RUNNING_VM.read(reply.vm))

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        """As the Protocol."""
        request = self._request("getLogs")
        with writing("getLogs"):
            request.follow = follow
            request.tailLines = tail_lines
            request.hypervisor = hypervisor
        request.sink = export_log_sink(self._connection, sink)
        await self._ask(request, ignore)

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        """As the Protocol."""
        request = self._request("exec")
        with writing("exec"):
            request.command = command
            request.args = list(args)
            request.stdin = stdin
            request.deadlineMs = deadline_ms
        return await self._ask(
            request, lambda reply: ExecResult(reply.exitCode, bytes(reply.stdout), bytes(reply.stderr))
        )

    async def console(self, output: LogSink, *, columns: int, rows: int) -> RemoteConsole:
        """As the Protocol."""
        request = self._request("console")
        with writing("console"):
            request.columns, request.rows = columns, rows
        request.output = export_log_sink(self._connection, output)
        return await self._ask(request, lambda reply: RemoteConsole(reply.input, self._connection))

    async def get_connection_info(self) -> ConnectionInfo:
        """As the Protocol."""
        return await self._ask(self._request("getConnectionInfo"), lambda reply: CONNECTION_INFO.read(reply.info))

    async def restart(self) -> None:
        """As the Protocol."""
        await self._ask(self._request("restart"), ignore)


class RemoteWorker(Remote):
    """A Worker at the other side."""

    async def read(self) -> WorkerReport:
        """As the Protocol."""
        return await self._ask(self._request("read"), lambda reply: WORKER_REPORT.read(reply.report))

    async def list_vms(self) -> tuple[str, ...]:
        """As the Protocol."""
        return await self._ask(self._request("listVms"), lambda reply: tuple(reply.instances))

    async def get_vm(self, instance: str) -> RemoteVm:
        """As the Protocol."""
        request = self._request("getVm")
        with writing("getVm"):
            request.instance = instance
        return await self._ask(request, lambda reply: RemoteVm(reply.vm, self._connection))

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """As the Protocol."""
        request = self._request("drain")
        with writing("drain"):
            request.deadlineMs = deadline_ms
            request.reason = reason
        await self._ask(request, ignore)

    async def get_config(self) -> dict[str, str]:
        """As the Protocol."""
        return await self._ask(
            self._request("getConfig"), lambda reply: {entry.key: entry.value for entry in reply.entries}
        )

    async def update_config(self, key: str, value: str) -> str:
        """As the Protocol."""
        request = self._request("updateConfig")
        with writing("updateConfig"):
            request.key, request.value = key, value
        return await self._ask(request, lambda reply: str(reply.oldValue))

    async def shutdown(self) -> None:
        """As the Protocol."""
        await self._ask(self._request("shutdown"), ignore)

    async def delete_volume(self, instance: str, volume: str) -> None:
        """As the Protocol."""
        request = self._request("deleteVolume")
        with writing("deleteVolume"):
            request.instance, request.volume = instance, volume
        await self._ask(request, ignore)


def export_vm(connection: Connection, vm: Vm, guard: Guard) -> Any:
    """A capability for `vm` that asks `guard` before every call."""

    async def get_logs(arguments: tuple[bool, int, Any, bool]) -> None:
        follow, tail_lines, capability, hypervisor = arguments
        sink = RemoteLogSink(capability, connection, check=lambda: guard.check("Vm.getLogs"))
        with guard.holding("Vm.getLogs"):
            await vm.get_logs(follow=follow, tail_lines=tail_lines, sink=sink, hypervisor=hypervisor)

    def write_exec(results: Any, result: ExecResult) -> None:
        results.exitCode, results.stdout, results.stderr = result.exit_code, result.stdout, result.stderr

    async def execute(arguments: tuple[str, tuple[str, ...], bytes, int]) -> ExecResult:
        command, args, stdin, deadline_ms = arguments
        if len(stdin) > MAX_STDIN_BYTES:
            raise TooLarge(f"{len(stdin)} bytes of input; a command in a guest takes at most {MAX_STDIN_BYTES}")
        with guard.holding("Vm.exec"):
            return await vm.exec(command, args, stdin=stdin, deadline_ms=deadline_ms)

    def attach(arguments: tuple[Any, int, int]) -> Coroutine[Any, Any, Console]:
        capability, columns, rows = arguments
        output = RemoteLogSink(capability, connection, check=lambda: guard.check("Vm.console"))
        return vm.console(output, columns=columns, rows=rows)

    def write_console(results: Any, console: Console) -> None:
        results.input = export_console(connection, console, guard)

    handlers: dict[str, Handler] = {
        "read": method(
            read=nothing,
            call=lambda _: vm.read(),
            write=lambda results, value: RUNNING_VM.write(results.init("vm"), value),
        ),
        "getLogs": method(
            read=lambda params: (params.follow, params.tailLines, params.sink, params.hypervisor),
            call=get_logs,
            write=no_results,
        ),
        "exec": method(
            read=lambda params: (params.command, tuple(params.args), bytes(params.stdin), params.deadlineMs),
            call=execute,
            write=write_exec,
        ),
        "console": method(
            read=lambda params: (params.output, params.columns, params.rows), call=attach, write=write_console
        ),
        "getConnectionInfo": method(
            read=nothing,
            call=lambda _: vm.get_connection_info(),
            write=lambda results, value: CONNECTION_INFO.write(results.init("info"), value),
        ),
        "restart": method(read=nothing, call=lambda _: vm.restart(), write=no_results),
    }
    return connection.export(wire.Vm, guarded("Vm", wire.Vm, guard, handlers))


def export_worker(connection: Connection, worker: Worker, guard: Guard) -> Any:
    """A capability for `worker` that asks `guard` before every call, also of the VMs that it hands out."""

    def drain(arguments: tuple[int, str]) -> Coroutine[Any, Any, None]:
        deadline_ms, reason = arguments
        return worker.drain(deadline_ms=deadline_ms, reason=reason)

    def update_config(arguments: tuple[str, str]) -> Coroutine[Any, Any, str]:
        return worker.update_config(*arguments)

    def delete_volume(arguments: tuple[str, str]) -> Coroutine[Any, Any, None]:
        return worker.delete_volume(*arguments)

    def write_vm(results: Any, vm: Vm) -> None:
        results.vm = export_vm(connection, vm, guard)

    def write_config(results: Any, config: dict[str, str]) -> None:
        entries = results.init("entries", len(config))
        for at, key in enumerate(sorted(config)):
            entries[at].key, entries[at].value = key, config[key]

    def write_vms(results: Any, instances: tuple[str, ...]) -> None:
        results.instances = sorted(instances)

    def write_old(results: Any, old: str) -> None:
        results.oldValue = old

    handlers: dict[str, Handler] = {
        "read": method(
            read=nothing,
            call=lambda _: worker.read(),
            write=lambda results, value: WORKER_REPORT.write(results.init("report"), value),
        ),
        "listVms": method(read=nothing, call=lambda _: worker.list_vms(), write=write_vms),
        "getVm": method(read=lambda params: str(params.instance), call=worker.get_vm, write=write_vm),
        "drain": method(read=lambda params: (params.deadlineMs, params.reason), call=drain, write=no_results),
        "getConfig": method(read=nothing, call=lambda _: worker.get_config(), write=write_config),
        "updateConfig": method(read=lambda params: (params.key, params.value), call=update_config, write=write_old),
        "shutdown": method(read=nothing, call=lambda _: worker.shutdown(), write=no_results),
        "deleteVolume": method(
            read=lambda params: (str(params.instance), str(params.volume)), call=delete_volume, write=no_results
        ),
    }
    return connection.export(wire.Worker, guarded("Worker", wire.Worker, guard, handlers))
