"""A worker as a program of its own whose VMs are real processes under real shims, but run nothing.

`python -m tests.liveness.worker_program NAME STATE SOCKET FAILPOINTS`. Agent, loop, records, shims and the wire are the
real ones; in the place of closures, disks, network and hypervisor there is a process that sleeps.
"""

import os
import random
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import trio

from control_plane.tests.builders import CI_KEY, MASTER_KEY, some_facts
from schema.assignment import Peer, Seen, SignedAssignment
from schema.errors import Unimplemented
from schema.interfaces import Worker, WorkerHello, WorkerSession
from schema.rpc.client import open_gateway, open_worker_session
from schema.rpc.transport.sockets import UnixAddress
from schema.status import LiveClosures, PushReply, WorkerMetrics, WorkerReport
from tests.liveness.failpoints import Failpoints
from worker import probe
from worker.adoption import Adopt, Found
from worker.agent import Agent, Pins
from worker.identity import Door, Wire, own_key
from worker.reconcile import Limits
from worker.records import Records
from worker.report import worker_report
from worker.steps import OnProgress
from worker.supervise import Supervisor
from worker.tests.scripted_steps import ScriptedSteps
from worker.vm_state import Attachment, Content, Desired, Process
from worker.vmm.fence import boottime_ns
from worker.vmm.processes import Ended, Live, end, find, set_fence, start_shim, wait_ended
from worker.vmm.runtime_dir import RuntimeDir

SLEEPER = ("/bin/sh", "-c", "exec sleep 1000", "sh")


class Nobody:
    """The worker's own capability: it has every method, and nobody calls one here."""

    def __getattr__(self, name: str) -> object:
        async def refuse(*_: object, **__: object) -> None:
            raise Unimplemented(f"nobody asks for {name} here")

        return refuse


class SleepingSteps(ScriptedSteps):
    """The port `Steps`: a boot starts a shim whose hypervisor sleeps. What is not below is made up as elsewhere."""

    def __init__(self, below: Path, records: Records) -> None:
        super().__init__()
        self._below = below
        self._records = records
        self._lives: dict[str, Live] = {}

    def directory(self, instance: str) -> RuntimeDir:
        return RuntimeDir(self._below / instance)

    async def update(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        pass

    async def pull(self, instance: str, content: Content, *, on_progress: OnProgress) -> None:
        pass

    async def prepare(self, instance: str, content: Content) -> None:
        pass

    async def boot(self, instance: str, content: Content, attachment: Attachment) -> Process:
        self._records.keep_booted(instance, content, attachment)
        lease = self._records.lease_file if content.spec.is_fenced else None
        live = await start_shim(self.directory(instance), command=SLEEPER, log_bytes=1 << 16, lease=lease)
        self._lives[instance] = live
        return Process(live.pid, trio.current_time(), attachment, live.is_fenced)

    async def stop(self, instance: str, process: Process | None, *, for_good: bool) -> None:
        live = find(self.directory(instance))
        if isinstance(live, Live):
            await end(self.directory(instance), live, grace_seconds=0.0)

    async def fence(self, instance: str, *, fenced: bool) -> None:
        await set_fence(self.directory(instance), self._records.lease_file if fenced else None)

    async def ended(self, instance: str, process: Process) -> str:
        return str(await wait_ended(self.directory(instance), self._lives[instance]))

    async def found(self) -> Mapping[str, Found]:
        return {instance: self._found(instance) for instance in self._records.booted_instances()}

    def _found(self, instance: str) -> Found:
        contents, attachment = self._records.booted(instance) or ((), None)
        content = contents[0] if contents else None
        live = find(self.directory(instance))
        if not isinstance(live, Live):
            return Found(instance, content, attachment, remains=str(live) if isinstance(live, Ended) else "")
        self._lives[instance] = live
        return Found(instance, content, attachment, live.pid, trio.current_time(), is_fenced=live.is_fenced)

    async def adopt(self, one: Adopt) -> Process:
        return Process(one.pid, one.started_at, one.attachment, one.is_fenced)


class HaltingRecords(Records):
    """The records as they are, with points around the lease's write."""

    failpoints: Failpoints
    worker_id: str

    def keep_lease(self, deadline_ns: int) -> None:
        self.failpoints.at(f"before-write-{self.worker_id}")
        super().keep_lease(deadline_ns)
        self.failpoints.at(f"written-{self.worker_id}")


class HaltingSession:
    """The session as it is, with points before a report is sent and after its answer has come."""

    def __init__(self, session: WorkerSession, failpoints: Failpoints) -> None:
        self._session = session
        self._failpoints = failpoints

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        return await self._session.get_assignment(last_seen)

    async def push_data(self, report: WorkerReport) -> PushReply:
        self._failpoints.at(f"before-send-{report.worker_id}")
        reply = await self._session.push_data(report)
        self._failpoints.at(f"answered-{report.worker_id}")
        return reply

    async def live_closures(self) -> LiveClosures:
        return await self._session.live_closures()


async def run(name: str, state: Path, socket: Path, failpoints: Failpoints) -> None:
    state.mkdir(parents=True, exist_ok=True)
    records = HaltingRecords(state)
    records.failpoints, records.worker_id = failpoints, name
    supervisor = Supervisor(
        steps=SleepingSteps(state / "vms", records),
        records=records,
        limits=Limits(parallel_boots=4, parallel_pulls=4, memory_mb=8192),
        min_healthy_ms=100,
        ask=probe.ask,
        boottime_ns=boottime_ns,
        in_thread=trio.to_thread.run_sync,
    )

    def report() -> WorkerReport:
        return worker_report(
            name,
            seen=agent.seen,
            desired=supervisor.desired,
            vms=supervisor.vms,
            volumes={},
            metrics=WorkerMetrics(),
            now=trio.current_time(),
        )

    hello, address = WorkerHello(name, some_facts()), UnixAddress(socket)
    door = Door(
        Wire(
            gateway=lambda: open_gateway(address),
            session=lambda prove: open_worker_session(address, hello, cast(Worker, Nobody()), prove),
        ),
        key=own_key(state, worker_id=name, draw=os.urandom),
        realm="default",
        hello=lambda: hello,
        token_file=None,
        wall_ms=lambda: time.time_ns() // 1_000_000,
    )

    @asynccontextmanager
    async def connect() -> AsyncIterator[WorkerSession]:
        async with door.session() as session:
            yield HaltingSession(session, failpoints)

    agent = Agent(
        pins=Pins(name, (MASTER_KEY.public,), (CI_KEY.public,)),
        connect=connect,
        supervisor=supervisor,
        records=records,
        report=report,
        interval_ms=10_000,
        boottime_ns=boottime_ns,
        draw=random.random,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        nursery.start_soon(agent.run)


if __name__ == "__main__":
    os.umask(0o077)
    trio.run(run, sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Failpoints(Path(sys.argv[4])))
