"""The matrix of roles and methods against the wire: without a row a method is denied, and fails here."""

from pathlib import Path
from typing import Any

import pytest
import trio

from schema.codec.wire import master, worker
from schema.errors import PermissionDenied, ProcuratorError
from schema.interfaces import Role
from schema.rpc.client import open_session, open_worker_session
from schema.rpc.remote import ignore
from schema.rpc.rights import CALLBACKS, INCLUDES, RIGHTS, allows
from schema.tests.rpc.cluster import MemoryWorker, a_control_plane, a_hello


def interfaces() -> dict[str, Any]:
    return {
        name: value
        for module in (master, worker)
        for name, value in vars(module).items()
        if type(value).__name__ == "_InterfaceModule"
    }


def methods() -> list[str]:
    return [
        f"{name}.{method}"
        for name, interface in interfaces().items()
        if name not in CALLBACKS
        for method in interface.schema.method_names
    ]


def test_every_method_of_every_interface_has_a_row_and_every_row_a_method() -> None:
    assert {"Gateway", "Master", "WorkerSession", "Worker", "Vm", "Console"} | CALLBACKS == set(interfaces())
    assert sorted(RIGHTS) == sorted(methods())


def test_what_has_no_row_is_denied_to_everybody() -> None:
    assert not any(allows(role, "Master.ofTheFuture") for role in Role)


def test_no_role_logs_in_as_more_than_it_may() -> None:
    for role, included in INCLUDES.items():
        for lower in included:
            assert {m for m in RIGHTS if allows(lower, m)} <= {m for m in RIGHTS if allows(role, m)}


def test_a_viewer_reaches_nothing_that_acts() -> None:
    acting = {"exec", "console", "restart", "drain", "shutdown", "updateConfig", "publishState", "pushData", "hold"}
    assert not {m for m in RIGHTS if allows(Role.VIEWER, m) and m.partition(".")[2] in acting}


async def denied(remote: Any, method: str) -> bool:
    """Whether the other side denies the call; what else it says of empty arguments is not asked."""
    error: ProcuratorError | None = None
    with trio.move_on_after(0.05):
        try:
            await remote._ask(remote._request(method), ignore)
        except ProcuratorError as failure:
            error = failure
    return isinstance(error, PermissionDenied)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.WORKER])
async def test_the_server_denies_exactly_what_the_table_denies(role: Role, tmp_path: Path) -> None:
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        open_worker_session(address, a_hello(), MemoryWorker()),
        open_session(address, role) as session,
    ):
        for method in master.Master.schema.method_names:
            assert await denied(session, method) is not allows(role, f"Master.{method}"), method
        if not allows(role, "Master.getWorker"):
            return
        held_worker, held_vm = await session.get_worker("worker-0"), await session.get_vm("web-0")
        for method in worker.Worker.schema.method_names:
            assert await denied(held_worker, method) is not allows(role, f"Worker.{method}"), method
        for method in worker.Vm.schema.method_names:
            assert await denied(held_vm, method) is not allows(role, f"Vm.{method}"), method


async def test_a_worker_session_has_the_three_methods_of_a_worker(tmp_path: Path) -> None:
    assert set(master.WorkerSession.schema.method_names) == {"getAssignment", "pushData", "liveClosures"}
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        open_worker_session(address, a_hello(), MemoryWorker()) as session,
    ):
        assert not await denied(session, "liveClosures")
