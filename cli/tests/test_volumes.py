"""`pcr volume ls` and `rm`, and the logs of VMs that left, through a real session with workers in memory."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from cli.main import pcr
from cli.remains import vm_or_its_remains
from cli.render.volumes import volume_table, volumes_of
from schema.errors import NotFound
from schema.interfaces import Role
from schema.rpc.client import open_session, open_worker_session
from schema.status import RunningVm, VmPhase, WorkerReport
from schema.tests.rpc.cluster import MemoryWorker, a_control_plane, a_hello, prove


class Keeping(MemoryWorker):
    """Has a volume in use and one that it keeps."""

    async def read(self) -> WorkerReport:
        vm = RunningVm(
            instance="db-0", generation=1, content_hash="", spec_hash="", phase=VmPhase.HEALTHY, volumes=("data",)
        )
        return WorkerReport(worker_id="worker-0", running_vms=(vm,), kept_volumes=("old-0/data",))


async def run_pcr(socket: Path, *argv: str, answer: str | None = None) -> Result:
    call = partial(CliRunner().invoke, pcr, ["--socket", str(socket), *argv], input=answer)
    return await trio.to_thread.run_sync(call)


def test_volumes_in_use_and_kept_are_told_apart() -> None:
    vm = RunningVm(
        instance="db-0", generation=1, content_hash="", spec_hash="", phase=VmPhase.HEALTHY, volumes=("data", "log")
    )
    rows = volumes_of([WorkerReport(worker_id="w", running_vms=(vm,), kept_volumes=("a-0/x",))])
    assert [(row.instance, row.name, row.kept) for row in rows] == [
        ("a-0", "x", True),
        ("db-0", "data", False),
        ("db-0", "log", False),
    ]
    assert "kept, its instance has left" in volume_table(rows)


async def test_a_kept_volume_is_deleted_only_when_it_is_named_and_agreed_to(tmp_path: Path) -> None:
    worker = Keeping()
    async with (
        a_control_plane(tmp_path / "cp.sock") as (_, address),
        open_worker_session(address, a_hello(), worker, prove),
    ):
        refused = await run_pcr(tmp_path / "cp.sock", "volume", "rm", "worker-0", "old-0/data", answer="n\n")
        assert refused.exit_code == 1 and worker.deleted == []
        assert (await run_pcr(tmp_path / "cp.sock", "volume", "rm", "worker-0", "old-0", "--yes")).exit_code == 2
        done = await run_pcr(tmp_path / "cp.sock", "volume", "rm", "worker-0", "old-0/data", "--yes", "-o", "json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout) == {"worker": "worker-0", "volume": "old-0/data"}
        assert worker.deleted == [("old-0", "data")]


async def test_the_log_of_a_vm_that_left_is_found_at_its_worker(tmp_path: Path) -> None:
    async with (
        a_control_plane(tmp_path / "cp.sock") as (_, address),
        open_worker_session(address, a_hello(), MemoryWorker(), prove),
        open_session(address, Role.VIEWER) as master,
    ):
        named = await vm_or_its_remains(master, "web-0", worker="worker-0")
        assert (await named.read()).instance == "web-0"
        with pytest.raises(NotFound):
            await vm_or_its_remains(master, "nobody-0")
