"""How many calls a second cross between a worker's models and the control plane's, at 64 in flight, beside grpc.aio.

Server and client are a process each on both sides, over unix sockets, with the same content; both ends hold the same
validated value. Runs alternate between the two. `--json` prints one object a figure.

Beside calls a second it tells the processor time of a call, of both processes together: where other programs want the
machine too, that says more.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trio

from benchmarks import _grpc_peer
from benchmarks._figures import Figure
from schema.assignment import Seen, SignedAssignment
from schema.interfaces import Identity, Worker, WorkerHello, WorkerSession
from schema.rpc.client import open_worker_session
from schema.rpc.handlers import immediate
from schema.rpc.server import serve_control_plane
from schema.rpc.transport.sockets import UnixAddress
from schema.status import LiveClosures, PushReply, WorkerReport
from schema.tests.rpc.cluster import MemoryBackend, MemoryWorker, a_hello, a_report

IN_FLIGHT = 64
GOAL = "≥ 1.5"
PEER = "grpc.aio"
CALLS = ("pushData", "getAssignment")
VMS = 10
PATIENCE_SECONDS = 10.0
REPLY = PushReply(server_time_ms=1_700_000_000_000, lease_ms=40_000)
ASSIGNMENT = SignedAssignment(b"{" + b"x" * 12_000 + b"}", "control-plane-1:" + "A" * 88)


class Session:
    """Answers what the control plane of the benchmark answers, and does nothing else."""

    last: WorkerReport | None = None

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        """Always the same one, as a call that could have to wait."""
        return ASSIGNMENT

    @immediate
    async def push_data(self, report: WorkerReport) -> PushReply:
        """Keep it, as a control plane does."""
        self.last = report
        return REPLY

    async def live_closures(self) -> LiveClosures:
        """None."""
        return LiveClosures(paths=())


class Backend(MemoryBackend):
    """Lets every worker in."""

    async def attach_worker(self, identity: Identity, hello: WorkerHello, worker: Worker) -> WorkerSession:  # type: ignore[override]
        """A session that answers at once."""
        return Session()


def serve(path: str) -> None:
    """The server's process."""
    trio.run(partial(serve_control_plane, Backend(), address=UnixAddress(Path(path))))


async def rate(call: Callable[[], Awaitable[object]], *, seconds: float) -> float:
    """Calls a second with 64 in flight."""
    calls = 0
    end = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await call()
            calls += 1

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(IN_FLIGHT):
            nursery.start_soon(one)
    return calls / (time.perf_counter() - started)


def ask(path: str, report: WorkerReport, pipe: Connection) -> None:
    """The client's process: on `(call, seconds)` it answers with calls a second; None ends it."""

    async def run() -> None:
        address, prove = UnixAddress(Path(path)), Backend().prover("worker-0")
        async with open_worker_session(address, a_hello(), MemoryWorker(), prove) as session:
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "pushData": partial(session.push_data, report),
                "getAssignment": partial(session.get_assignment, None),
            }
            while (asked := await trio.to_thread.run_sync(pipe.recv)) is not None:
                name, seconds = asked
                pipe.send(await rate(calls[name], seconds=seconds))

    trio.run(run)


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: calls a second, and microseconds of both processes for each."""

    rate: float
    microseconds: float


@dataclass(frozen=True, slots=True)
class Side:
    """A server and a client that can be told to call."""

    name: str
    pipe: Connection
    pids: tuple[int, ...]

    def _processor_s(self) -> float:
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def run(self, call: str, seconds: float) -> Run:
        """Have `call` made for `seconds`."""
        before = self._processor_s()
        self.pipe.send((call, seconds))
        if not self.pipe.poll(seconds + PATIENCE_SECONDS):
            raise SystemExit(f"{self.name} gave no answer")
        calls = self.pipe.recv()
        return Run(calls, 1e6 * (self._processor_s() - before) / (calls * seconds))


@contextmanager
def side(
    name: str, server: Callable[..., None], client: Callable[..., None], *, path: str, args: tuple[Any, ...]
) -> Iterator[Side]:
    """A server's and a client's process."""
    context = multiprocessing.get_context("spawn")
    serving = context.Process(target=server, args=(path, *args[0]), daemon=True)
    serving.start()
    while not Path(path).exists():
        time.sleep(0.05)
    ours, theirs = context.Pipe()
    asking = context.Process(target=client, args=(path, *args[1], theirs), daemon=True)
    asking.start()
    try:
        yield Side(name, ours, tuple(process.pid or 0 for process in (serving, asking)))
        ours.send(None)
        asking.join(5)
    finally:
        for process in (asking, serving):
            process.terminate()
            process.join()


def measure(directory: str, *, runs: int, seconds: float) -> dict[tuple[str, str], list[Run]]:
    """The runs of each call on each side."""
    report = a_report(vms=VMS)
    found: dict[tuple[str, str], list[Run]] = {}
    peer_args = ((REPLY, ASSIGNMENT), (report, IN_FLIGHT))
    with (
        side("ours", serve, ask, path=f"{directory}/ours.sock", args=((), (report,))) as ours,
        side(PEER, _grpc_peer.serve, _grpc_peer.ask, path=f"{directory}/peer.sock", args=peer_args) as peer,
    ):
        for call in CALLS:
            for number in range(runs + 1):
                for one in (ours, peer):
                    run = one.run(call, seconds)
                    if number:  # the first one warms up
                        found.setdefault((call, one.name), []).append(run)
    return found


def figures(found: dict[tuple[str, str], list[Run]]) -> Iterator[Figure]:
    """Each side's medians, and the ratios of runs that followed each other."""
    for call in CALLS:
        ours, peer = found[call, "ours"], found[call, PEER]
        for name, runs in (("ours", ours), (PEER, peer)):
            yield _figure(f"rpc.{call} {name}", [round(run.rate) for run in runs], "calls/s")
            yield _figure(f"rpc.{call} {name}", [round(run.microseconds) for run in runs], "us CPU")
        pairs = list(zip(ours, peer, strict=True))
        yield _figure(f"rpc.{call}", [round(a.rate / b.rate, 2) for a, b in pairs], "ratio", goal=GOAL, peer=PEER)
        by_processor = [round(b.microseconds / a.microseconds, 2) for a, b in pairs]
        yield _figure(f"rpc.{call} by CPU", by_processor, "ratio", peer=PEER)


def _figure(name: str, runs: Sequence[float], unit: str, *, goal: str = "", peer: str = "") -> Figure:
    return Figure(name, statistics.median(runs), unit, goal, peer, [float(run) for run in runs])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    runs, seconds = (5, 1.0) if options.quick else (9, 3.0)
    with tempfile.TemporaryDirectory() as directory:
        found = measure(directory, runs=runs, seconds=seconds)
    for figure in figures(found):
        figure.show(as_json=options.json)


if __name__ == "__main__":
    main()
