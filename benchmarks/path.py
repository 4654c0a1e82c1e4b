"""What the path from a push to a healthy VM costs beyond nix and a direct boot of the same guest, pair by pair.

`path.overhead`: from the start of `git push` until the control plane calls the VM healthy, less what CI's nix stages
and the worker's pull took, less a direct QEMU boot right before it. The example's `web` has one replica here, and is
replaced each time.
"""

import argparse
import statistics
import sys
import tempfile
from functools import partial
from os import environ
from pathlib import Path

import trio

from benchmarks._figures import Figure
from benchmarks.direct_boot import build_web, measure
from cli.up.cluster import parts_dir
from schema.builds import StageName
from tests.e2e.fleet import Fleet, a_fleet, vm_of

NIX_STAGES = (StageName.EVALUATE, StageName.CHECKS, StageName.BUILD, StageName.PUSH)
INSTANCE = "web-0"


async def pushed_to_healthy(fleet: Fleet, text: str) -> tuple[float, float]:
    """Seconds from the push of a new text until it is healthy, and those of nix among them."""
    began = trio.current_time()
    commit = await fleet.commit({"web/index.html": f"<!doctype html><title>path</title><p>{text}</p>\n"})

    status = await fleet.until(
        lambda status: (
            bool(status.generations)
            and status.generations[0].commit == commit
            and vm_of(status, INSTANCE).healthy
            and vm_of(status, INSTANCE).running_generation == status.generations[0].number
        )
    )
    took = trio.current_time() - began
    build = await fleet.build(commit)
    stages = sum(build.stage(name).duration_ms or 0 for name in NIX_STAGES)
    pulled = vm_of(status, INSTANCE).phase_ms.get("pulling", 0)
    return took, (stages + pulled) / 1000


async def run_pairs(*, pairs: int) -> list[Figure]:
    """Interleaved: one direct boot, one push, `pairs` times."""
    totals: list[float] = []
    boots: list[float] = []
    overheads: list[float] = []
    cache = parts_dir(environ).parent
    with tempfile.TemporaryDirectory() as work:
        toplevel = await build_web(Path(work), cache)
        async with a_fleet() as fleet:
            cluster = fleet.clone / "cluster.nix"
            cluster.write_text(cluster.read_text().replace("replicas = 2;", "replicas = 1;"))
            await fleet.converged(await fleet.first_push())
            for number in range(pairs):
                boot = (await measure(runs=1, toplevel=toplevel, cache=cache)).value
                total, nix = await pushed_to_healthy(fleet, f"push {number}")
                totals.append(total)
                boots.append(boot)
                overheads.append(total - nix - boot)
                print(f"  boot {boot:.2f} s, push to healthy {total:.2f} s, nix {nix:.2f} s", file=sys.stderr)
    return [
        Figure("path.overhead", round(statistics.median(overheads), 2), "s", "< 1", "nix and a direct boot", overheads),
        Figure("path.push_to_healthy", round(statistics.median(totals), 2), "s", "", "", totals),
        Figure("path.direct_boot", round(statistics.median(boots), 2), "s", "", "", boots),
    ]


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object a line for each figure")
    parser.add_argument("--quick", action="store_true", help="under 50 s: one pair")
    options = parser.parse_args()
    for figure in trio.run(partial(run_pairs, pairs=1 if options.quick else 5)):
        figure.show(as_json=options.json)


if __name__ == "__main__":
    main()
