"""What a killed demo leaves is cleared away by the next one, and what runs is left alone."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.workspace import Workspace, clear_leftovers
from cli.up.cluster import executables, wall_clock
from cli.up.prepare import free_offset, prepare
from cli.up.processes import ProcessId, own_process
from cli.up.record import Record, write_record


@pytest.fixture
def among() -> Iterator[Path]:
    """Short enough for the sockets of a state directory."""
    path = Path(tempfile.mkdtemp(prefix="d-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def a_demo(among: Path, supervisor: ProcessId | None) -> Workspace:
    workspace = Workspace.fresh(among)
    prepare(
        workspace.state,
        workers=1,
        port_offset=free_offset(workers=1),
        executables=executables(),
        allowed_paths=(),
        now=wall_clock(),
    )
    write_record(workspace.state.record, Record(supervisor=supervisor))
    return workspace


async def test_only_what_a_killed_demo_left_is_cleared(among: Path) -> None:
    own = own_process()
    killed = a_demo(among, own.model_copy(update={"started": own.started - 1}))
    running = a_demo(among, own)
    beginning = a_demo(among, None)
    read_only = killed.root / "state" / "store"
    read_only.mkdir()
    (read_only / "path").write_text("x")
    read_only.chmod(0o555)
    said: list[str] = []
    await clear_leftovers(among, environ=os.environ, say=said.append)
    assert set(among.iterdir()) == {running.root, beginning.root}
    assert "an earlier demo was killed" in said[0]
    assert "worker-0: VMs stopped" in said


def test_a_workspace_is_passed_through_and_never_listed(among: Path) -> None:
    assert Workspace.fresh(among).root.stat().st_mode & 0o777 == 0o711
