"""The newcomer's command, as a program: from nothing running to healthy VMs and back to nothing."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cli.demo.progress import Step

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.guest
def test_the_demo_goes_from_a_push_to_healthy_vms_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "cli.demo", "--once"],
            cwd=ROOT,
            env={**_environment(), "TMPDIR": temporary},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(Path(temporary).iterdir()) == []
        assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if temporary in read(path)]
    steps = re.findall(r"^ *[0-9.]+ s  (\w+) +[0-9.]+ s  ", done.stdout, re.MULTILINE)
    assert steps == [step.value for step in Step]
    assert "converged: 4 of 4 VMs are healthy on generation 1" in done.stdout
    assert "This page was pushed with git." in done.stdout
    assert re.search(r"the demo took [0-9.]+ s, which is [0-9.]+ times one direct QEMU boot", done.stdout)


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # it ended meanwhile


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PROCURATOR_")}
