"""A real control plane with a fleet that is only pretended (`pcr sim`): memory, heartbeats, and how news get around.

Full: 3,000 workers with 30,000 VMs, then the same by TLS, then 5,000 with 150,000. `--quick` is a small fleet for a
look at every figure; the goals are those of 3,000. `--json` prints one object a figure.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import trio

from benchmarks._figures import Figure
from cli.sim.figures import Found
from cli.sim.options import SimOptions
from cli.sim.run import simulate

FULL = (
    SimOptions(workers=3000, vms=30_000, seconds=60),
    SimOptions(workers=3000, vms=30_000, seconds=60, tls=True),
    SimOptions(workers=5000, vms=150_000, seconds=60),
)
QUICK = (SimOptions(workers=150, vms=1500, seconds=6, interval_ms=3000),)


def figures(found: Found) -> Iterator[Figure]:
    """What is told of one simulation."""
    has_goal = (found.workers, found.vms, found.tls) == (3000, 30_000, False)
    name = f"fleet.{found.workers}/{found.vms}{'/tls' if found.tls else ''}"

    def figure(what: str, value: float, unit: str, goal: str = "") -> Figure:
        return Figure(f"{name} {what}", round(value, 2), unit, goal if has_goal else "", "", 1)

    yield figure("memory", found.memory_most_mb, "MiB", "< 381")  # 400 MB
    yield figure("memory, connected", found.memory_connected_mb, "MiB")
    yield figure("heartbeat p99", found.beats.p99_ms, "ms", "< 50")
    yield figure("heartbeat median", found.beats.median_ms, "ms")
    yield figure("known to all", found.next.all_s, "s", "< 2")
    yield figure("taken up by all, CPU", found.next.processor_s, "s CPU")
    yield figure("heartbeat p99 meanwhile", found.next.heartbeat_p99_ms, "ms")
    yield figure("all connected", found.arrival_s, "s")
    yield figure("processor, steady", found.processor * 100, "%")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    say = partial(print, file=sys.stderr, flush=True)
    for asked in QUICK if options.quick else FULL:
        now = datetime.now(UTC)
        for figure in figures(trio.run(partial(simulate, asked, now=now, say=say))):
            figure.show(as_json=options.json)


if __name__ == "__main__":
    main()
