"""Keys change hands while VMs run: a new pin, the new signer, the old pin gone; what is not pinned is told apart."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from control_plane.settings import Settings
from control_plane.tests.builders import CI_KEY, MASTER_KEY, a_publish, a_spec, some_facts
from control_plane.tests.live import LiveWorker, running, session, some_settings, until, worker_session
from schema.assignment import open_assignment
from schema.blueprint import RolloutPolicy
from schema.errors import BadSignature
from schema.interfaces import WorkerHello
from schema.rpc.client import RemoteMaster
from schema.rpc.transport.sockets import UnixAddress
from schema.signing import PublicKey, SecretKey
from schema.status import ClusterStatus, Convergence

NEW_MASTER = SecretKey.from_seed("control-plane-2", b"n" * 32)
NEW_CI = SecretKey.from_seed("ci-2", b"d" * 32)
QUICK = RolloutPolicy(min_healthy_ms=50)


def a_state(state: Path, *, signer: SecretKey = MASTER_KEY, publishers: tuple[SecretKey, ...] = (CI_KEY,)) -> Settings:
    settings = some_settings(state)
    settings.keys.assignment.write_text(signer.reveal())
    keys = settings.keys.model_copy(update={"publishers": tuple(str(key.public) for key in publishers)})
    return settings.model_copy(update={"keys": keys})


def converged_on(number: int) -> Callable[[ClusterStatus], bool]:
    def holds(status: ClusterStatus) -> bool:
        newest = status.newest
        return newest is not None and newest.number == number and status.convergence is Convergence.CONVERGED

    return holds


@asynccontextmanager
async def started(settings: Settings, worker: LiveWorker) -> AsyncIterator[RemoteMaster]:
    """The control plane with one worker, both started anew: each reads its settings at its start only."""
    async with running(settings), session(settings) as master, trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, UnixAddress(settings.listen.socket))
        yield master
        nursery.cancel_scope.cancel()


async def test_the_key_of_assignments_is_rotated_without_a_vm_being_touched(tmp_path: Path) -> None:
    worker = LiveWorker("w0")
    async with started(a_state(tmp_path), worker) as master:
        await master.publish_state(a_publish(1, a_spec(replicas=2), rollout=QUICK))
        await until(master, converged_on(1))
    running_vms = list(worker.fake.started)
    worker.control_plane_keys = (MASTER_KEY.public, NEW_MASTER.public)
    async with started(a_state(tmp_path), worker) as master:
        await until(master, converged_on(1))
    async with started(a_state(tmp_path, signer=NEW_MASTER), worker) as master:
        await until(master, converged_on(1))
    worker.control_plane_keys = (NEW_MASTER.public,)
    async with started(a_state(tmp_path, signer=NEW_MASTER), worker) as master:
        await until(master, converged_on(1))
        assert worker.fake.started == running_vms
        await master.publish_state(a_publish(2, a_spec(replicas=2), a_spec("db"), rollout=QUICK))
        await until(master, converged_on(2))
    assert worker.fake.started[: len(running_vms)] == running_vms
    assert len(worker.fake.started) == len(running_vms) + 1, "the new VM, and no old one again"
    assert not [why for why in worker.refused if "signed" in why or "signature" in why]


async def test_the_key_of_publishes_is_rotated_without_a_vm_being_touched(tmp_path: Path) -> None:
    worker = LiveWorker("w0")
    both = (CI_KEY, NEW_CI)
    async with started(a_state(tmp_path), worker) as master:
        await master.publish_state(a_publish(1, a_spec(), rollout=QUICK))
        await until(master, converged_on(1))
        with pytest.raises(BadSignature, match=r"generation 2 is signed by the unknown key 'ci-2' \(pinned: ci\)"):
            await master.publish_state(a_publish(2, a_spec(), key=NEW_CI))
    running_vms = list(worker.fake.started)
    worker.publisher_keys = (CI_KEY.public, NEW_CI.public)
    async with started(a_state(tmp_path, publishers=both), worker) as master:
        await until(master, converged_on(1))
        await master.publish_state(a_publish(2, a_spec(), rollout=QUICK, key=NEW_CI))
        await until(master, converged_on(2))
    worker.publisher_keys = (NEW_CI.public,)
    async with started(a_state(tmp_path, publishers=(NEW_CI,)), worker) as master:
        await until(master, converged_on(2))
        with pytest.raises(BadSignature, match=r"unknown key 'ci' \(pinned: ci-2\)"):
            await master.publish_state(a_publish(3, a_spec(), key=CI_KEY))
        await master.publish_state(a_publish(3, a_spec(), a_spec("db"), rollout=QUICK, key=NEW_CI))
        await until(master, converged_on(3))
    assert worker.fake.started[: len(running_vms)] == running_vms
    assert len(worker.fake.started) == len(running_vms) + 1
    assert not [why for why in worker.refused if "signed" in why or "signature" in why]


IMPOSTOR = SecretKey.from_seed(MASTER_KEY.name, b"i" * 32)


@pytest.mark.parametrize(
    ("pins", "publishers", "why"),
    [
        ((NEW_MASTER.public,), (CI_KEY.public,), "the assignment is signed by the unknown key 'control-plane'"),
        ((IMPOSTOR.public,), (CI_KEY.public,), "the signature of the assignment by 'control-plane' does not match"),
        ((MASTER_KEY.public,), (NEW_CI.public,), "generation 1 is signed by the unknown key 'ci'"),
        ((), (CI_KEY.public,), r"unknown key 'control-plane' \(pinned: none\)"),
    ],
)
async def test_what_a_worker_does_not_pin_is_refused_with_whose_it_is(
    tmp_path: Path, pins: tuple[PublicKey, ...], publishers: tuple[PublicKey, ...], why: str
) -> None:
    settings = a_state(tmp_path)
    address, hello = UnixAddress(settings.listen.socket), WorkerHello("w0", some_facts())
    async with running(settings), session(settings) as master:
        await master.publish_state(a_publish(1, a_spec(), rollout=QUICK))
        async with worker_session(address, hello, LiveWorker("w0")) as own:
            await until(master, lambda status: bool(status.vms) and status.vms[0].worker_id == "w0")
            signed = await own.get_assignment(None)
        assert signed is not None
        with pytest.raises(BadSignature, match=why):
            open_assignment(signed, worker_id="w0", last_seen=None, control_plane_keys=pins, publisher_keys=publishers)
