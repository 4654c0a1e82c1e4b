"""How long `pcr status` takes beside `python -c "import capnp"`; a cluster of two VMs in memory answers.

Runs are interleaved; the figure is the ratio of medians of wall time. With `--cpu` it is of processor time, which is
steadier on a machine that does other things as well.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from benchmarks._figures import Figure
from cli.tests.builders import a_status
from cli.tests.serving import Cluster, a_cluster


def took(argv: list[str], *, env: dict[str, str], cpu: bool) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        pid = os.posix_spawn(argv[0], argv, env, file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)])
        _, code, used = os.wait4(pid, 0)
    if code:
        sys.exit(f"{argv} failed")
    return used.ru_utime + used.ru_stime if cpu else time.perf_counter() - started


async def measure(*, rounds: int, cpu: bool) -> list[Figure]:
    """Both ways that `pcr status` has, each beside the import."""
    with tempfile.TemporaryDirectory(prefix="procurator-bench-") as root:
        async with a_cluster(Path(root) / "state", a_status()) as cluster, cluster.http() as address:
            return [await _ratio(name, cluster, http, rounds=rounds, cpu=cpu) for name, http in _cases(address)]


def _cases(address: str) -> list[tuple[str, str | None]]:
    return [("cli.status", address), ("cli.status_over_rpc", None)]


async def _ratio(name: str, cluster: Cluster, http: str | None, *, rounds: int, cpu: bool) -> Figure:
    ready = cluster.socket.parent / "control-plane.json"
    addresses = {"http": http} if http else {}
    ready.write_text(json.dumps({"pid": os.getpid(), "addresses": addresses}), encoding="utf-8")
    pcr = shutil.which("pcr", path=str(Path(sys.executable).parent)) or sys.exit("pcr is not installed beside python")
    env = {"HOME": str(cluster.root), "PROCURATOR_STATE": str(cluster.root)}
    cases = {"pcr": [pcr, "status"], "capnp": [sys.executable, "-c", "import capnp"]}
    times: dict[str, list[float]] = {case: [] for case in cases}
    for number in range(rounds + 1):
        for case, argv in cases.items():
            seconds = await trio.to_thread.run_sync(partial(took, argv, env=env, cpu=cpu))
            if number:
                times[case].append(seconds)
    ours, peer = (statistics.median(times[case]) for case in ("pcr", "capnp"))
    goal = "< 3" if http else ""
    return Figure(name, round(ours / peer, 2), "ratio", goal, f"import capnp {peer:.3f} s", rounds)


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object a line for each figure")
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--cpu", action="store_true", help="processor time instead of wall time")
    options = parser.parse_args()
    for figure in trio.run(partial(measure, rounds=15 if options.quick else 41, cpu=options.cpu)):
        figure.show(as_json=options.json)


if __name__ == "__main__":
    main()
