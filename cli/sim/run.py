"""One simulation from start to end: a control plane, pretending workers, two generations and a quiet time."""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import trio

from cli.sim.control_plane import Simulated, simulated
from cli.sim.desired import publish_of
from cli.sim.figures import Beats, Found, Spread
from cli.sim.fleet import Arrived, Broken, Known, Latencies, Told, Watch, pretend
from cli.sim.options import SimOptions
from schema.errors import DeadlineExceeded, Internal
from schema.interfaces import Role
from schema.rpc.client import RemoteMaster, open_session
from schema.rpc.transport.sockets import UnixAddress
from schema.status import RolloutState

T = TypeVar("T", bound=Told)
Say = Callable[[str], None]
PATIENCE_SECONDS = 300.0
DESCRIPTORS = 16_384
"""Files that each process may have open: a socket for each worker."""


async def simulate(options: SimOptions, *, now: datetime, say: Say) -> Found:
    """Run it; `say` is told what happens. Raises Internal and DeadlineExceeded where something did not come about."""
    _allow_descriptors()
    with tempfile.TemporaryDirectory(prefix="procurator-sim-") as directory:
        async with simulated(Path(directory), options, now=now) as control_plane:
            say(f"the control plane runs; {options.workers} workers connect")
            began = time.monotonic()
            async with _fleet(options, control_plane) as fleet:
                arrived = max(told.at_s for told in await fleet.hear(Arrived))
                connected_mb, _ = control_plane.memory_mb()
                async with open_session(UnixAddress(control_plane.socket), Role.ADMIN) as master:
                    first = await _publish(options, 1, control_plane, master, fleet)
                    say(f"generation 1 was known to all after {first.all_s:.2f} s; {options.seconds:g} s of quiet")
                    quiet, processor = await _quiet(options, control_plane, fleet)
                    say("generation 2 is published")
                    second = await _publish(options, 2, control_plane, master, fleet)
                now_mb, most_mb = control_plane.memory_mb()
    return Found(
        workers=options.workers,
        vms=options.vms,
        tls=options.tls,
        arrival_s=arrived - began,
        first=first,
        next=second,
        beats=Beats.of(quiet),
        memory_connected_mb=connected_mb,
        memory_mb=now_mb,
        memory_most_mb=most_mb,
        processor=processor,
    )


class _Processes:
    """The processes of the fleet, asked and heard all at once."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    async def ask(self, question: Watch | Latencies, answer: type[T]) -> list[T]:
        """Ask everyone, and hear everyone."""
        for pipe in self._pipes:
            pipe.send(question)
        return await self.hear(answer)

    async def hear(self, answer: type[T]) -> list[T]:
        """The next answer of everyone. Raises Internal for one that broke, and DeadlineExceeded."""
        found = []
        for pipe in self._pipes:
            while not await trio.to_thread.run_sync(partial(pipe.poll, 0)):
                await self._readable(pipe)
            told = await trio.to_thread.run_sync(pipe.recv)
            if isinstance(told, Broken):
                raise Internal(f"a process of pretending workers broke: {told.message}")
            if not isinstance(told, answer):
                raise Internal(f"a process of pretending workers said {told!r}")
            found.append(told)
        return found

    @staticmethod
    async def _readable(pipe: Connection) -> None:
        with trio.move_on_after(PATIENCE_SECONDS) as scope:
            await trio.lowlevel.wait_readable(pipe.fileno())
        if scope.cancelled_caught:
            raise DeadlineExceeded(f"a process of pretending workers said nothing for {PATIENCE_SECONDS:g} s")

    def end(self) -> None:
        """Tell everyone to end."""
        for pipe in self._pipes:
            pipe.send(None)


@asynccontextmanager
async def _fleet(options: SimOptions, control_plane: Simulated) -> AsyncIterator[_Processes]:
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for number in range(options.processes):
        ours, theirs = context.Pipe()
        where: dict[str, Any] = {"port": control_plane.port, "ca": control_plane.ca, "process": number}
        process = context.Process(target=pretend, args=(options, theirs), kwargs=where, daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        fleet = _Processes(pipes)
        yield fleet
        fleet.end()
    finally:
        with trio.CancelScope(shield=True):
            for process in processes:
                await trio.to_thread.run_sync(process.join, 5)
                if process.is_alive():
                    process.kill()


async def _publish(
    options: SimOptions, number: int, control_plane: Simulated, master: RemoteMaster, fleet: _Processes
) -> Spread:
    await fleet.ask(Latencies(), Latencies)
    publish = publish_of(options, number, key=control_plane.publisher)
    began, used = time.monotonic(), control_plane.cpu_seconds()
    await master.publish_state(publish)
    published = time.monotonic()
    told = await fleet.ask(Watch(number), Known)
    processor = control_plane.cpu_seconds() - used
    await _succeeded(master, number)
    succeeded = time.monotonic()
    beats = [beat for each in await fleet.ask(Latencies(), Latencies) for beat in each.seconds]
    moments = [moment for each in told for moment in each.at_s]
    return Spread.of(
        began_s=began,
        published_s=published,
        told_s=moments,
        succeeded_s=succeeded,
        beats=beats,
        processor_s=processor,
    )


async def _succeeded(master: RemoteMaster, number: int) -> None:
    with trio.move_on_after(PATIENCE_SECONDS):
        while True:
            (newest,) = await master.list_generations(limit=1, before=0)
            if newest.number == number and newest.state is RolloutState.SUCCEEDED:
                return
            if newest.state.is_outcome:
                raise Internal(f"generation {number} {newest.state}: {newest.reason}")
            await trio.sleep(0.5)
    raise DeadlineExceeded(f"generation {number} has not succeeded within {PATIENCE_SECONDS:g} s")


async def _quiet(options: SimOptions, control_plane: Simulated, fleet: _Processes) -> tuple[list[float], float]:
    await trio.sleep(options.interval_ms / 1000)  # what the first generation caused dies away
    await fleet.ask(Latencies(), Latencies)
    began, used = time.monotonic(), control_plane.cpu_seconds()
    await trio.sleep(options.seconds)
    beats = [beat for each in await fleet.ask(Latencies(), Latencies) for beat in each.seconds]
    return beats, (control_plane.cpu_seconds() - used) / (time.monotonic() - began)


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
