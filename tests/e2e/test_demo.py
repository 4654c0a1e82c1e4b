"""The newcomer's command, as a program: from nothing running to healthy VMs and back to nothing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cli.demo.progress import Step
from cli.up.cluster import parts_dir
from schema.tests.processes import wait_none_names

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534

pytestmark = [pytest.mark.guest, pytest.mark.timeout(480)]


def test_the_demo_goes_from_a_push_to_healthy_vms_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        done = demo("--once", TMPDIR=temporary)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_none_names(temporary)
        assert list(Path(temporary).iterdir()) == []
    shows_the_whole_way(done)


def test_the_demo_runs_without_root_in_a_store_of_ones_own() -> None:
    if not others_can_read(ROOT):
        pytest.skip(f"{ROOT} is out of others' reach, so nobody but root can run what is in it")
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        shutil.copytree(parts_dir(os.environ), Path(home, "cache/procurator/parts"))
        Path(home, "tmp").mkdir()
        for path in (Path(home), *Path(home).rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        done = demo(
            *("--once", "--user-network"),
            user=NOBODY,
            HOME=home,
            TMPDIR=f"{home}/tmp",
            XDG_CACHE_HOME=f"{home}/cache",
            XDG_DATA_HOME=f"{home}/data",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        wait_none_names(home)
        assert list(Path(home, "tmp").iterdir()) == []
        assert list(Path(home, "data/procurator/nix/store").glob("*-system-web"))
    shows_the_whole_way(done)
    assert "procurator-vmm (user-mode network: egress is not enforced)" in done.stdout
    assert re.search(r"^http://127\.0\.0\.1:\d+/ says:$", done.stdout, re.MULTILINE)


def demo(*arguments: str, user: int | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.demo", *arguments],
        cwd=ROOT,
        env={**_environment(), **environ},
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def others_can_read(directory: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (directory, *directory.parents))


def shows_the_whole_way(done: subprocess.CompletedProcess[str]) -> None:
    steps = re.findall(r"^ *[0-9.]+ s  (\w+) +[0-9.]+ s  ", done.stdout, re.MULTILINE)
    assert steps == [step.value for step in Step]
    assert "converged: 4 of 4 VMs are healthy on generation 1" in done.stdout
    assert "This page was pushed with git." in done.stdout
    assert re.search(r"the demo took [0-9.]+ s, which is [0-9.]+ times one direct QEMU boot", done.stdout)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PROCURATOR_")}
