"""How long QEMU alone takes to boot the demo's guest, from the benchmark that measures it; it measures nothing."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from nix.run import run

_DEADLINE_SECONDS = 120.0
_ROOT = Path(__file__).resolve().parents[2]


async def seconds_of_a_direct_boot(*, environ: Mapping[str, str]) -> float:
    """Seconds from starting QEMU to the first page of the example's `web`. Raises CommandFailed."""
    argv = [sys.executable, "-m", "benchmarks.direct_boot", "--json"]
    completed = await run(argv, deadline=_DEADLINE_SECONDS, env=dict(environ), cwd=_ROOT)
    seconds: float = json.loads(completed.stdout)["value"]
    return seconds
