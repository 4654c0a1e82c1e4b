"""A worker is stopped: its fenced singleton ends by itself, is elsewhere only then, and nothing else is touched."""

import os
import signal

import pytest

from schema.status import ClusterStatus, Convergence, VmStatus, WorkerState
from schema.tests.processes import is_running, until_ended
from tests.e2e.fleet import Fleet, a_fleet, processes, told, vm_of

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

LIVENESS = {
    "PROCURATOR_CONTROL_PLANE__LIVENESS__INTERVAL_MS": "500",
    "PROCURATOR_CONTROL_PLANE__LIVENESS__LEASE_MS": "8000",
    "PROCURATOR_CONTROL_PLANE__LIVENESS__MARGIN_MS": "8000",
    "PROCURATOR_CONTROL_PLANE__LIVENESS__LOST_AFTER_MS": "8000",
}


def make_batch_a_singleton(fleet: Fleet) -> None:
    """The example's cluster with one of each: a fenced singleton, and a VM that keeps a volume."""
    file = fleet.clone / "cluster.nix"
    text = file.read_text()
    assert text.count("replicas = 2;") == text.count('labels.tier = "batch";') == 1
    text = text.replace("replicas = 2;", "replicas = 0;")
    file.write_text(text.replace('labels.tier = "batch";', 'labels.tier = "batch";\n      singleton = true;'))


def is_ready(status: ClusterStatus) -> bool:
    ready = all(worker.state is WorkerState.READY for worker in status.workers)
    return ready and status.convergence is Convergence.CONVERGED


async def test_a_singleton_of_a_stopped_worker_ends_by_itself_and_only_then_goes_on_elsewhere() -> None:
    async with a_fleet(workers=2, settings=LIVENESS) as fleet:
        make_batch_a_singleton(fleet)
        before = await fleet.converged(await fleet.first_push())
        batch, db = vm_of(before, "batch-0"), vm_of(before, "db-0")
        worker = fleet.pid_of(batch.worker_id)
        os.kill(worker, signal.SIGSTOP)
        await until_ended(batch.pid, seconds=90)
        assert vm_of(await fleet.status(), "batch-0").worker_id == batch.worker_id, "the margin is not over"

        def has_moved(status: ClusterStatus) -> bool:
            found: VmStatus = vm_of(status, "batch-0")
            return found.healthy and found.worker_id != batch.worker_id

        moved = await fleet.until(has_moved)
        assert is_running(db.pid), told(moved)
        if db.worker_id == batch.worker_id:
            assert vm_of(moved, "db-0").reason.startswith(f"volume on {db.worker_id}; "), told(moved)
        assert vm_of(moved, "db-0").worker_id == db.worker_id
        os.kill(worker, signal.SIGCONT)
        after = await fleet.until(is_ready)
        assert processes(after) == processes(moved) | {"db-0": db.pid}, told(after)
        assert vm_of(after, "batch-0").worker_id == vm_of(moved, "batch-0").worker_id, "what has moved stays"
