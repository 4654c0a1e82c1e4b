"""A worker's way in over the wire: a challenge, a proof, and a request to join."""

from pathlib import Path

import pytest

from schema.errors import InvalidInput, PermissionDenied, ProcuratorError, Unauthenticated, Unavailable
from schema.interfaces import Role, WorkerProof
from schema.operations import Admission
from schema.rpc.client import open_gateway, open_session, open_worker_session
from schema.rpc.server import STRANGERS_QUESTIONS
from schema.tests.rpc.cluster import ANY_TCP, MemoryWorker, a_control_plane, a_hello


async def test_a_worker_logs_in_by_signing_a_challenge_also_over_tcp() -> None:
    async with a_control_plane(ANY_TCP) as (backend, address):
        async with open_worker_session(address, a_hello(), MemoryWorker(), backend.prover("worker-0")) as session:
            assert (await session.live_closures()).complete
        assert backend.attached[-1].subject == "worker:worker-0"
        assert backend.attached[-1].peer.startswith("127.0.0.1:")


async def test_a_wrong_proof_is_refused_as_the_backend_says() -> None:
    async with a_control_plane(ANY_TCP) as (backend, address):
        with pytest.raises(Unauthenticated, match="does not match"):
            async with open_worker_session(address, a_hello("worker-1"), MemoryWorker(), backend.prover("worker-0")):
                pass


async def test_a_proof_is_good_for_the_role_worker_alone(tmp_path: Path) -> None:
    async with a_control_plane(tmp_path / "rpc.sock") as (_, address):
        proof = WorkerProof("k:AA==", "nonce-of-", 5, "good")
        for role in (role for role in Role if role is not Role.WORKER):
            with pytest.raises((PermissionDenied, InvalidInput)):
                async with open_session(address, role, proof):
                    pass


async def test_a_worker_asks_to_join_and_asks_again() -> None:
    async with a_control_plane(ANY_TCP) as (backend, address), open_gateway(address) as gateway:
        prove = backend.prover("worker-0")
        first = await gateway.join(a_hello(), prove(await gateway.challenge("worker-0")))
        assert first.admission is Admission.PENDING
        again = await gateway.join(a_hello(), prove(await gateway.challenge("worker-0")), token="one-use")
        assert (again.admission, again.reason) == (Admission.APPROVED, "one-use")
        assert [hello for hello, _, _ in backend.joined] == [a_hello(), a_hello()]
        assert backend.joined[0][2].startswith("127.0.0.1:")


async def test_a_stranger_that_asks_without_end_is_dropped() -> None:
    async with a_control_plane(ANY_TCP) as (_, address), open_gateway(address) as gateway:
        error: ProcuratorError | None = None
        for _ in range(STRANGERS_QUESTIONS + 5):
            try:
                await gateway.challenge("worker-0")
            except ProcuratorError as failure:
                error = failure
        assert isinstance(error, Unavailable)
