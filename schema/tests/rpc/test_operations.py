"""Every operation over a real socket: arguments and answers as they were, errors as themselves."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from schema.errors import Conflict, NotFound
from schema.interfaces import Role
from schema.rpc.client import RemoteMaster, open_session
from schema.tests.rpc.cluster import a_control_plane
from schema.tests.rpc.operating import (
    ADMISSION,
    AUDIT,
    CONTENT,
    EXPLANATION,
    GENERATION,
    HOLD,
    ROLLOUT,
    TOKEN,
    VERDICT,
    MemoryOperations,
)

Ask = Callable[[RemoteMaster], Awaitable[Any]]

ANSWERS: dict[str, tuple[Ask, Any]] = {
    "explain": (lambda m: m.explain("web-0"), EXPLANATION),
    "list_generations": (lambda m: m.list_generations(limit=0, before=0), (GENERATION,)),
    "get_generation": (lambda m: m.get_generation(3), CONTENT),
    "list_rollouts": (lambda m: m.list_rollouts(limit=0, before=0), (ROLLOUT, ROLLOUT)),
    "list_holds": (lambda m: m.list_holds(), (HOLD,)),
    "list_workers": (lambda m: m.list_workers(), (ADMISSION,)),
    "create_join_token": (lambda m: m.create_join_token(worker_id="worker-7"), "join-worker-7"),
    "list_tokens": (lambda m: m.list_tokens(), (TOKEN,)),
    "verify_audit": (lambda m: m.verify_audit(), VERDICT),
}
DONE: dict[str, tuple[Ask, tuple[Any, ...], Any]] = {
    "list_audit": (lambda m: m.list_audit(limit=10, before=2**40), (10, 2**40), (AUDIT,)),
    "pause_rollout": (lambda m: m.pause_rollout(3, reason="hé"), (3, "hé"), None),
    "resume_rollout": (lambda m: m.resume_rollout(3), (3,), None),
    "abort_rollout": (lambda m: m.abort_rollout(3, reason="enough"), (3, "enough"), None),
    "hold": (lambda m: m.hold(("web", "db"), 2, reason="3 leaks"), (("web", "db"), 2, "3 leaks"), HOLD),
    "lift_hold": (lambda m: m.lift_hold("hold-1"), ("hold-1",), None),
    "cordon_worker": (
        lambda m: m.cordon_worker("worker-0", cordoned=True, reason="disk"),
        ("worker-0", True, "disk"),
        None,
    ),
    "drain_worker": (
        lambda m: m.drain_worker("worker-0", deadline_ms=2**40, reason="disk"),
        ("worker-0", 2**40, "disk"),
        None,
    ),
    "release_volume": (lambda m: m.release_volume("db-0", volume="data"), ("db-0", "data"), None),
    "approve_worker": (lambda m: m.approve_worker("worker-0"), ("worker-0",), None),
    "reject_worker": (lambda m: m.reject_worker("worker-0", reason="who"), ("worker-0", "who"), None),
    "retire_worker": (lambda m: m.retire_worker("worker-0", reason="sold"), ("worker-0", "sold"), None),
    "create_token": (
        lambda m: m.create_token("ada", role=Role.PUBLISHER, lasts_ms=5000),
        ("ada", Role.PUBLISHER, 5000),
        "secret-of-ada",
    ),
    "revoke_token": (lambda m: m.revoke_token("ada"), ("ada",), None),
}
REFUSED: dict[str, tuple[Ask, type[Exception]]] = {
    "promote_rollout": (lambda m: m.promote_rollout(3), Conflict),
    "explain": (lambda m: m.explain("db-0"), NotFound),
    "get_generation": (lambda m: m.get_generation(9), NotFound),
}


def test_every_operation_is_asked_here() -> None:
    operations = {name for name in vars(MemoryOperations) if not name.startswith("_")}
    assert operations == {*ANSWERS, *DONE, *REFUSED}


async def test_every_answer_comes_back_as_it_was_given(tmp_path: Path) -> None:
    async with a_control_plane(tmp_path / "rpc.sock") as (_, address), open_session(address, Role.ADMIN) as master:
        for name, (ask, answer) in ANSWERS.items():
            assert await ask(master) == answer, name


async def test_every_operation_arrives_as_it_was_asked(tmp_path: Path) -> None:
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (backend, address),
        open_session(address, Role.ADMIN) as master,
    ):
        for name, (ask, arguments, answer) in DONE.items():
            assert await ask(master) == answer, name
            assert backend.did.pop() == (name, *arguments)
        await master.list_generations(limit=7, before=3)
        assert backend.did.pop() == ("list_generations", 7, 3)
        await master.list_rollouts(limit=7, before=3)
        assert backend.did.pop() == ("list_rollouts", 7, 3)
        assert not backend.did


async def test_refusals_are_told_as_themselves(tmp_path: Path) -> None:
    async with a_control_plane(tmp_path / "rpc.sock") as (_, address), open_session(address, Role.ADMIN) as master:
        for ask, error in REFUSED.values():
            with pytest.raises(error):
                await ask(master)
