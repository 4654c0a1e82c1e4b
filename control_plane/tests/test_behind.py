"""A database of yesterday that was put back: workers that had gone further are led again."""

import shutil
from pathlib import Path

import pytest
import trio

from control_plane.behind import MOST, caught_up, knows_more
from control_plane.events import apply
from control_plane.settings import Settings
from control_plane.tests.builders import EPOCH, a_publish, a_snapshot, a_spec, some_facts
from control_plane.tests.live import LiveWorker, running, session, some_settings, until
from schema.assignment import Seen, open_assignment
from schema.blueprint import RolloutPolicy
from schema.errors import InvalidInput
from schema.interfaces import WorkerSession
from schema.rpc.transport.sockets import UnixAddress
from schema.status import Convergence

QUICK = RolloutPolicy(min_healthy_ms=20)


class RememberingWorker(LiveWorker):
    """Knows over all its connections what it has obeyed, as the real one does by its disk."""

    seen: Seen | None = None

    async def _obey(self, own: WorkerSession) -> None:
        while True:
            signed = await own.get_assignment(self.seen)
            if signed is None:
                continue
            assignment = open_assignment(
                signed,
                worker_id=self.fake.worker_id,
                last_seen=self.seen,
                control_plane_keys=self.control_plane_keys,
                publisher_keys=self.publisher_keys,
            )
            self.seen = Seen(assignment.epoch, assignment.revision)
            self.fake.obey(assignment, int(trio.current_time() * 1000))


async def test_an_older_copy_that_is_put_back_leads_the_workers_on_from_where_they_are(tmp_path: Path) -> None:
    settings, worker = some_settings(tmp_path), RememberingWorker("w0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, UnixAddress(settings.listen.socket))
        await _walk(settings, 1)
        shutil.copy(tmp_path / "state.sqlite", tmp_path / "copy")
        await _walk(settings, 2, 3)
        further = worker.seen
        shutil.copy(tmp_path / "copy", tmp_path / "state.sqlite")
        async with running(settings), session(settings) as master:
            await until(master, lambda status: status.convergence is Convergence.CONVERGED)
            (vm,) = (await master.get_cluster_status()).vms
            assert (vm.generation, vm.running_generation, vm.drift) == (1, 1, False)
            assert worker.seen and further and worker.seen.revision > further.revision
        await _walk(settings, 4)
        nursery.cancel_scope.cancel()


async def _walk(settings: Settings, *numbers: int) -> None:
    async with running(settings), session(settings) as master:
        for number in numbers:
            await master.publish_state(a_publish(number, a_spec(content=str(number)), rollout=QUICK))
            await until(
                master,
                lambda status, number=number: (  # type: ignore[misc] # mypy takes no defaults here
                    status.convergence is Convergence.CONVERGED and status.generations[0].number == number
                ),
            )


def test_a_revision_is_raised_once_and_never_lowered() -> None:
    snapshot = a_snapshot(w0=some_facts())
    (event,) = caught_up(snapshot, "w0", Seen(EPOCH, 40))
    raised = apply(snapshot, event)
    assert raised.workers["w0"].revision == 41
    assert caught_up(raised, "w0", Seen(EPOCH, 40)) == ()
    assert not knows_more(snapshot, "w0", Seen("f" * 32, 40)), "another database's"
    assert not knows_more(snapshot, "w9", Seen(EPOCH, 40))


def test_a_revision_that_nobody_ever_gave_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nobody ever gave"):
        caught_up(a_snapshot(w0=some_facts()), "w0", Seen(EPOCH, MOST))
