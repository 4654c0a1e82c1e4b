"""The grpc.aio peer of `rpc.py`: the same two calls with the same content, from model to model; it prints nothing.

The messages are generated from `grpc_peer.proto` when it starts (grpcio-tools), as a user of gRPC would have them.
"""

import asyncio
import importlib
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from schema.assignment import Seen, SignedAssignment
from schema.status import PushReply, WorkerReport

METRICS = ("memory_free_mb", "disk_free_mb", "load1", "uptime_ms", "cpu_pressure", "memory_pressure", "io_pressure")
TEXTS_AND_NUMBERS = (
    "instance",
    "generation",
    "content_hash",
    "spec_hash",
    "phase",
    "reason",
    "guest_view",
    "host_view",
    "address",
    "pid",
    "running_ms",
    "healthy_ms",
    "restarts",
)


def generated() -> tuple[Any, Any]:
    """The generated modules of messages and of stubs."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory(prefix="procurator-peer-") as directory:
        source = Path(__file__).with_name("grpc_peer.proto")
        code = protoc.main(
            ["protoc", f"-I{source.parent}", f"--python_out={directory}", f"--grpc_python_out={directory}", source.name]
        )
        if code:
            raise RuntimeError(f"protoc ended with {code}")
        sys.path.insert(0, directory)
        try:
            return importlib.import_module("grpc_peer_pb2"), importlib.import_module("grpc_peer_pb2_grpc")
        finally:
            sys.path.remove(directory)


def write_report(messages: Any, report: WorkerReport) -> Any:
    """A report as a message."""
    vms = []
    for vm in report.running_vms:
        reverted = vm.reverted
        vms.append(
            messages.RunningVm(
                **{name: getattr(vm, name) for name in TEXTS_AND_NUMBERS},
                phase_ms=vm.phase_ms,
                volumes=vm.volumes,
                reverted=messages.Reverted(content_hash=reverted.content_hash, reason=reverted.reason)
                if reverted
                else None,
            )
        )
    return messages.WorkerReport(
        worker_id=report.worker_id,
        observed_generation=report.observed_generation,
        epoch=report.epoch,
        revision=report.revision,
        running_vms=vms,
        metrics=messages.WorkerMetrics(**{name: getattr(report.metrics, name) for name in METRICS}),
        kept_volumes=report.kept_volumes,
    )


def read_report(message: Any) -> WorkerReport:
    """The validated report of a message."""
    vms = []
    for vm in message.running_vms:
        plain = {name: getattr(vm, name) for name in TEXTS_AND_NUMBERS}
        plain["phase_ms"] = dict(vm.phase_ms)
        plain["volumes"] = list(vm.volumes)
        if vm.HasField("reverted"):
            plain["reverted"] = {"content_hash": vm.reverted.content_hash, "reason": vm.reverted.reason}
        vms.append(plain)
    return WorkerReport.model_validate(
        {
            "worker_id": message.worker_id,
            "observed_generation": message.observed_generation,
            "epoch": message.epoch,
            "revision": message.revision,
            "running_vms": vms,
            "metrics": {name: getattr(message.metrics, name) for name in METRICS},
            "kept_volumes": list(message.kept_volumes),
        }
    )


def write_reply(messages: Any, reply: PushReply) -> Any:
    """An answer as a message."""
    return messages.PushReply(
        server_time_ms=reply.server_time_ms,
        interval_ms=reply.interval_ms,
        directives=[each.value for each in reply.directives],
        lease_ms=reply.lease_ms,
    )


def read_reply(message: Any) -> PushReply:
    """The validated answer of a message."""
    return PushReply.model_validate(
        {
            "server_time_ms": message.server_time_ms,
            "interval_ms": message.interval_ms,
            "directives": list(message.directives),
            "lease_ms": message.lease_ms,
        }
    )


def serve(path: str, reply: PushReply, assignment: SignedAssignment) -> None:
    """The server's process: it answers every report with `reply`, and every poll with `assignment`."""
    import grpc

    messages, stubs = generated()

    class Servicer(stubs.MasterServicer):  # type: ignore[misc, name-defined] # generated
        last: WorkerReport | None = None

        async def PushData(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            self.last = read_report(request)
            return write_reply(messages, reply)

        async def GetAssignment(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            if request.HasField("last_seen"):
                Seen(request.last_seen.epoch, request.last_seen.revision)
            return messages.AssignmentReply(data=assignment.data, signature=assignment.signature)

    async def run() -> None:
        server = grpc.aio.server()
        stubs.add_MasterServicer_to_server(Servicer(), server)
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(run())


def ask(path: str, report: WorkerReport, in_flight: int, pipe: Connection) -> None:
    """The client's process: on `(call, seconds)` it answers with calls a second; None ends it."""
    import grpc

    messages, stubs = generated()

    async def run() -> None:
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            stub = stubs.MasterStub(channel)

            async def push() -> None:
                read_reply(await stub.PushData(write_report(messages, report)))

            async def poll() -> None:
                answer = await stub.GetAssignment(messages.AssignmentRequest(worker_id=report.worker_id))
                SignedAssignment(answer.data, answer.signature)

            calls = {"pushData": push, "getAssignment": poll}
            while (asked := await asyncio.to_thread(pipe.recv)) is not None:
                name, seconds = asked
                pipe.send(await _rate(calls[name], in_flight, seconds))

    asyncio.run(run())


async def _rate(call: Callable[[], Awaitable[None]], in_flight: int, seconds: float) -> float:
    calls = 0
    began = time.perf_counter()

    async def one() -> None:
        nonlocal calls
        while time.perf_counter() < began + seconds:
            await call()
            calls += 1

    await asyncio.gather(*(one() for _ in range(in_flight)))
    return calls / (time.perf_counter() - began)
