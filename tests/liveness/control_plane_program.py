"""The control plane as a program of its own that can be killed or stopped in the middle of a renewal.

`python -m tests.liveness.control_plane_program STATE FAILPOINTS LIVENESS-JSON`; it prints a line when it listens.
"""

import json
import sys
from functools import partial
from pathlib import Path

import trio

from control_plane.app import SystemClock, control_plane_of, opened
from control_plane.backend import ControlPlaneBackend
from control_plane.tests.builders import MASTER_KEY
from control_plane.tests.live import some_settings
from schema.assignment import Seen, SignedAssignment
from schema.interfaces import Identity, Worker, WorkerHello, WorkerSession
from schema.rpc.server import serve_control_plane
from schema.rpc.transport.sockets import UnixAddress
from schema.status import LiveClosures, PushReply, WorkerReport
from tests.liveness.failpoints import Failpoints


class HaltingSession:
    """A worker's session as it is, with points before and after a report is taken in."""

    def __init__(self, session: WorkerSession, failpoints: Failpoints) -> None:
        self._session = session
        self._failpoints = failpoints

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        return await self._session.get_assignment(last_seen)

    async def push_data(self, report: WorkerReport) -> PushReply:
        self._failpoints.at(f"received-{report.worker_id}")
        reply = await self._session.push_data(report)
        self._failpoints.at(f"before-answer-{report.worker_id}")
        return reply

    async def live_closures(self) -> LiveClosures:
        return await self._session.live_closures()


class HaltingBackend(ControlPlaneBackend):
    """The backend as it is, with those sessions."""

    failpoints: Failpoints

    async def attach_worker(self, identity: Identity, hello: WorkerHello, worker: Worker) -> WorkerSession:
        return HaltingSession(await super().attach_worker(identity, hello, worker), self.failpoints)


async def run(state: Path, failpoints: Failpoints, liveness: dict[str, int]) -> None:
    settings = some_settings(state, liveness=liveness)
    async with opened(settings) as database, trio.open_nursery() as nursery:
        control_plane = control_plane_of(settings, database, key=MASTER_KEY, clock=SystemClock())
        await nursery.start(control_plane.run)
        backend = HaltingBackend(control_plane)
        backend.failpoints = failpoints
        await nursery.start(partial(serve_control_plane, backend, address=UnixAddress(settings.listen.socket)))
        print("ready", flush=True)


if __name__ == "__main__":
    trio.run(run, Path(sys.argv[1]), Failpoints(Path(sys.argv[2])), json.loads(sys.argv[3]))
