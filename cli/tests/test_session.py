"""How a command ends that a person interrupts, and as whom it logs in."""

from pathlib import Path

import pytest
import trio

from cli.session import INTERRUPTED, control_plane, run_command
from cli.settings import Target
from schema.errors import PermissionDenied
from schema.interfaces import Role
from schema.tests.rpc.cluster import a_control_plane


@pytest.mark.parametrize("grouped", [False, True])
def test_ctrl_c_ends_a_command_without_a_traceback(grouped: bool) -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def in_a_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupted)

    with pytest.raises(SystemExit) as ended:
        run_command(in_a_nursery if grouped else interrupted)
    assert ended.value.code == INTERRUPTED


def a_target(tmp_path: Path, role: Role) -> Target:
    """A socket, and the token of `role` that the control plane in memory knows."""
    token = tmp_path / "token"
    token.write_text(f"{role}-token")
    token.chmod(0o600)
    return Target(f"unix:{tmp_path / 'cp.sock'}", token, "")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PUBLISHER, Role.OPERATOR, Role.ADMIN])
async def test_a_token_of_any_role_may_look_and_that_is_no_refusal(tmp_path: Path, role: Role) -> None:
    async with a_control_plane(tmp_path / "cp.sock") as (backend, _):
        async with control_plane(a_target(tmp_path, role), Role.VIEWER) as master:
            await master.list_rollouts(limit=1, before=0)
        assert backend.refusals == []


async def test_a_publisher_that_looks_has_its_own_rights_and_no_more(tmp_path: Path) -> None:
    async with a_control_plane(tmp_path / "cp.sock") as (backend, _):
        target = a_target(tmp_path, Role.PUBLISHER)
        with pytest.raises(PermissionDenied, match="only as publisher"):
            async with control_plane(target, Role.OPERATOR):
                pass
        async with control_plane(target, Role.VIEWER) as master:
            with pytest.raises(PermissionDenied, match="role publisher may not call"):
                await (await master.get_worker("worker-0")).read()
        assert [method for _, method, _ in backend.refusals] == ["Gateway.login", "Master.getWorker"]
