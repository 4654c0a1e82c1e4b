"""How many pushData calls a second cross from a worker's model to the control plane's, at 64 in flight.

Server and client are a process each; both sides end in the same validated value. `--json` prints one object a figure.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from benchmarks._figures import Figure
from schema.interfaces import Role
from schema.rpc.client import open_session, open_worker_session
from schema.rpc.transport.sockets import UnixAddress
from schema.tests.rpc.cluster import MemoryWorker, a_control_plane, a_hello, a_report, prove

IN_FLIGHT = 64


def serve(path: str) -> None:
    """The server's process."""

    async def run() -> None:
        async with a_control_plane(Path(path)):
            await trio.sleep_forever()

    trio.run(run)


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


async def measure(path: str, *, runs: int, seconds: float) -> dict[str, list[float]]:
    """Each figure's runs."""
    address = UnixAddress(Path(path))
    figures: dict[str, list[float]] = {"pushData, 1 VM": [], "pushData, 10 VMs": [], "liveClosures, a task each": []}
    async with (
        open_worker_session(address, a_hello(), MemoryWorker(), prove) as session,
        open_session(address, Role.ADMIN) as master,
    ):
        small, large = a_report(vms=1), a_report(vms=10)
        for _ in range(runs):
            figures["pushData, 1 VM"].append(await rate(lambda: session.push_data(small), seconds=seconds))
            figures["pushData, 10 VMs"].append(await rate(lambda: session.push_data(large), seconds=seconds))
            figures["liveClosures, a task each"].append(await rate(master.live_closures, seconds=seconds))
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    runs, seconds = (3, 1.0) if options.quick else (7, 3.0)
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/rpc.sock"
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(path,), daemon=True)
        server.start()
        while not Path(path).exists():
            time.sleep(0.05)
        try:
            figures = trio.run(lambda: measure(path, runs=runs, seconds=seconds))
        finally:
            server.terminate()
            server.join()
    for name, values in figures.items():
        runs_seen = [round(value) for value in values]
        Figure(f"rpc.{name}", statistics.median(runs_seen), "calls/s", "", "", [*map(float, runs_seen)]).show(
            as_json=options.json
        )


if __name__ == "__main__":
    main()
