"""`kill -9` and SIGSTOP of worker and control plane at every point of a renewal, on real processes with real shims.

A watcher looks every few milliseconds whether the fenced singleton runs, and where: never on two workers.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from control_plane.tests.builders import a_publish, a_spec
from schema.blueprint import RolloutPolicy
from schema.errors import ProcuratorError
from schema.interfaces import Role
from schema.rpc.client import open_session
from schema.rpc.transport.sockets import UnixAddress
from schema.status import ClusterStatus, VmStatus, WorkerState
from tests.liveness.failpoints import POINTS, Failpoints
from worker.vmm.processes import Live, find
from worker.vmm.runtime_dir import RuntimeDir

LIVENESS = {"interval_ms": 300, "lease_ms": 3000, "margin_ms": 1500, "lost_after_ms": 3000}
"""Long enough that who is not struck is never late, however busy the machine."""
pytestmark = pytest.mark.timeout(600)

WORKERS = ("w0", "w1")
ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@dataclass
class Fleet:
    """A control plane and two workers, each its own process; everything is below `root`."""

    root: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sightings: list[str] = field(default_factory=list)

    @property
    def failpoints(self) -> Failpoints:
        return Failpoints(self.root)

    @property
    def socket(self) -> Path:
        return self.root / "rpc.sock"

    def directory(self, worker_id: str) -> RuntimeDir:
        return RuntimeDir(self.root / worker_id / "vms" / "solo-0")

    def start(self, name: str) -> None:
        arguments = (
            ("control_plane_program", str(self.root), str(self.root), json.dumps(LIVENESS))
            if name == "cp"
            else ("worker_program", name, str(self.root / name), str(self.socket), str(self.root))
        )
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                (sys.executable, "-m", f"tests.liveness.{arguments[0]}", *arguments[1:]),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    def lives_on(self) -> list[str]:
        return [name for name in WORKERS if isinstance(find(self.directory(name)), Live)]

    async def watch(self) -> None:
        """Wherever it runs is noted whenever that changes; on two at once is the end of the test."""
        while True:
            where = self.lives_on()
            assert len(where) <= 1, f"it runs twice; before: {self.sightings[-5:]}"
            seen = where[0] if where else "nowhere"
            if self.sightings[-1:] != [seen]:
                self.sightings.append(seen)
            await trio.sleep(0.01)

    async def until(self, holds: Callable[[ClusterStatus], bool], what: str) -> ClusterStatus:
        with trio.move_on_after(PATIENCE):
            while True:
                try:
                    async with open_session(UnixAddress(self.socket), Role.ADMIN) as master:
                        while True:
                            status = await master.get_cluster_status()
                            if holds(status):
                                return status
                            await trio.sleep(0.05)
                except* (ProcuratorError, OSError):
                    await trio.sleep(0.05)
        logs = "\n".join(f"{name}: {(self.root / f'{name}.log').read_text()[-1500:]}" for name in ("cp", *WORKERS))
        raise AssertionError(f"not: {what}; seen: {self.sightings[-6:]}\n{logs}")

    async def publish(self) -> None:
        spec = a_spec("solo", singleton=True)
        async with open_session(UnixAddress(self.socket), Role.ADMIN) as master:
            await master.publish_state(a_publish(1, spec, rollout=RolloutPolicy(min_healthy_ms=100)))

    async def reached(self, point: str) -> None:
        """Wait until a program has come by."""
        with trio.fail_after(PATIENCE):
            while self.failpoints.is_set(point):  # noqa: ASYNC110 - another process makes it so
                await trio.sleep(0.005)

    async def at_home(self) -> str:
        """Wait until all is well, and say where it runs."""
        status = await self.until(all_is_well, "all is well")
        return solo(status).worker_id

    def go_on(self, name: str) -> None:
        """Continue a stopped program, or start a killed one again."""
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
        else:
            self.start(name)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        for name in WORKERS:
            live = find(self.directory(name))
            if isinstance(live, Live):
                os.killpg(live.pid, signal.SIGKILL)
        deadline = (
            time.monotonic() + PATIENCE
        )  # a shim writes to its directory until it ends, and there is nothing to wait on
        while any(directory.control_socket.exists() for directory in map(self.directory, WORKERS)):
            assert time.monotonic() < deadline, "a shim does not end"
            time.sleep(0.01)


def solo(status: ClusterStatus) -> VmStatus:
    (found,) = (vm for vm in status.vms if vm.instance == "solo-0")
    return found


def all_is_well(status: ClusterStatus) -> bool:
    ready = all(worker.state is WorkerState.READY and worker.connected for worker in status.workers)
    return len(status.workers) == len(WORKERS) and ready and bool(status.vms) and solo(status).healthy


@contextmanager
def a_root() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="renew-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@asynccontextmanager
async def a_fleet() -> AsyncIterator[Fleet]:
    with a_root() as root:
        fleet = Fleet(root)
        try:
            for name in ("cp", *WORKERS):
                fleet.start(name)
            await fleet.until(lambda status: len(status.workers) == len(WORKERS), "both workers are in")
            await fleet.publish()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fleet.watch)
                yield fleet
                nursery.cancel_scope.cancel()
        finally:
            fleet.end()


async def worker_struck(fleet: Fleet, point: str, number: signal.Signals) -> None:
    """The worker is struck there: its singleton ends, is elsewhere only then, and stays there."""
    home = await fleet.at_home()
    del fleet.sightings[:-1]
    fleet.failpoints.set(f"{point}-{home}", number=number, pid=fleet.processes[home].pid)
    await fleet.reached(f"{point}-{home}")
    other = next(name for name in WORKERS if name != home)
    await fleet.until(lambda status: solo(status).worker_id == other and solo(status).healthy, f"it moves to {other}")
    assert fleet.sightings == [home, "nowhere", other], fleet.sightings
    fleet.go_on(home)
    assert await fleet.at_home() == other
    assert fleet.sightings == [home, "nowhere", other], fleet.sightings


async def control_plane_struck(fleet: Fleet, point: str, number: signal.Signals) -> None:
    """The control plane is struck there and comes back after the leases are over: nobody is judged by that time."""
    home = await fleet.at_home()
    del fleet.sightings[:-1]
    fleet.failpoints.set(f"{point}-{home}", number=number, pid=fleet.processes["cp"].pid)
    await fleet.reached(f"{point}-{home}")
    with trio.fail_after(PATIENCE):
        while fleet.lives_on():  # noqa: ASYNC110 - its shim ends it
            await trio.sleep(0.01)
    await trio.sleep(LIVENESS["margin_ms"] / 1000)
    if number is signal.SIGKILL:
        fleet.processes["cp"].wait()
    fleet.go_on("cp")
    with trio.fail_after(PATIENCE):
        while not fleet.lives_on():  # noqa: ASYNC110 - a lease comes
            await trio.sleep(0.01)
    assert await fleet.at_home() == home
    assert fleet.sightings == [home, "nowhere", home], fleet.sightings


async def test_a_worker_killed_or_stopped_at_any_point_of_a_renewal_never_runs_beside_the_next_one() -> None:
    async with a_fleet() as fleet:
        for point in POINTS:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                await worker_struck(fleet, point, number)
            # It remembers who comes and goes, and would make us wait longer and longer.
            fleet.processes["cp"].kill()
            fleet.processes["cp"].wait()
            fleet.start("cp")


async def test_a_control_plane_killed_or_stopped_at_any_point_of_a_renewal_moves_nothing() -> None:
    async with a_fleet() as fleet:
        for point in POINTS:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                await control_plane_struck(fleet, point, number)
