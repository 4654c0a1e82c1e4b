"""Runs the workers' own probes and gathers what they found; it tries nothing itself."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.render.text import table
from cli.settings import state_dir
from nix.run import run
from schema.errors import NotFound, Unavailable

SECONDS = 400.0
"""Of one worker's probes, each of which has a minute."""
SYSTEM_CONFIG = Path("/etc/procurator/worker.toml")


@dataclass(frozen=True, slots=True)
class Found:
    """What one probe of one worker found."""

    worker: str
    probe: str
    passed: bool
    detail: str
    advice: str


def worker_configs(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The settings of this machine's workers. Raises NotFound with the ways to name them."""
    local = tuple(sorted((state_dir(environ) / "etc").glob("worker-*.toml")))
    found = local or ((SYSTEM_CONFIG,) if SYSTEM_CONFIG.exists() else ())
    if not found:
        raise NotFound(
            f"no worker is set up here: neither {state_dir(environ)}/etc/worker-*.toml (as `pcr up` writes them) nor "
            f"{SYSTEM_CONFIG} exists; name one with --worker-config FILE"
        )
    return found


async def examine(configs: Sequence[Path]) -> tuple[Found, ...]:
    """What the probes of all these workers found. Raises Unavailable where a worker's program cannot be asked."""
    return tuple([one for config in configs for one in await _examine(config)])


async def _examine(config: Path) -> list[Found]:
    program = shutil.which("procurator-worker") or str(Path(sys.executable).parent / "procurator-worker")
    argv = (program, "--config", str(config), "--doctor", "--log-level", "error")
    done = await run(argv, deadline=SECONDS, env={"HOME": str(Path.home())}, check=False)
    lines = [json.loads(line) for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("{")]
    if not lines:
        words = " ".join(done.stderr.decode(errors="replace").split())[-400:]
        raise Unavailable(f"{config}: the worker's program tells nothing: {words or done.returncode}")
    name = config.stem
    return [Found(name, one["probe"], one["passed"], one["detail"], one["advice"]) for one in lines]


def findings_table(found: Sequence[Found]) -> str:
    """A line for each probe; what to do stands below what failed."""
    rows: list[tuple[str, str, str, str]] = []
    for one in found:
        rows.append((one.worker, one.probe, "ok" if one.passed else "FAILED", one.detail))
        if not one.passed:
            rows.append(("", "", "", f"do: {one.advice}"))
    return table(("WORKER", "PROBE", "", "FOUND"), rows)
