"""What the worker costs: a guest's start beside the same QEMU by hand, starts a second, and adoption of many VMs.

`worker.start_ratio`: from the assignment until the example's `web` answers over its tap, by the same from starting QEMU
by hand, pair by pair; closure and image are there before both. The rest is with the fake hypervisor, each VM with its
own shim and hypervisor process, real sockets and cgroups. `worker.boot_accepted`: ten VMs a second are assigned, one
after another; from the moment before the control plane signs an assignment until the hypervisor accepted the `vm.boot`
of its new VM, by the times in the worker's log (the wire, both signatures and what is kept on disk included). Then many
at once, and an agent that is killed and started again beside its VMs (how long adoption took is in its log). What shim,
fake and boot take without a worker is reported beside, as no worker can be sooner.
"""

import argparse
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import trio

from benchmarks._figures import Figure
from benchmarks.direct_boot import booted, first_page, make_image
from schema.status import RunningVm, VmPhase
from schema.vmspec import VmSpec
from worker.tests.fake_control_plane import Wanted
from worker.tests.running import ROOT, RunningWorker, a_worker, http_check
from worker.tests.test_guest import a_real_spec, build
from worker.tests.vmm.subjects import a_config
from worker.vmm.client import CloudHypervisor
from worker.vmm.port import VmAction
from worker.vmm.processes import end, start_shim
from worker.vmm.programs import module_of
from worker.vmm.runtime_dir import RuntimeDir
from worker.vmm.shims import Shims

NET = "10.199.95"
FAKE = (sys.executable, "-m", "worker.vmm.fake")
MIB = 1024 * 1024
MANY_LIMITS = {"parallel_boots": 8}
RATE = 10
"""Starts a second that are asked for."""
ACCEPTED = re.compile(r"^(\S+) INFO worker\.vm_steps: (\S+): boot: accepted", re.MULTILINE)


def all_up(count: int) -> Callable[[dict[str, RunningVm]], bool]:
    """Whether a report has so many VMs, all of them running."""
    return lambda vms: len(vms) == count and all(vm.pid and vm.phase is not VmPhase.BOOTING for vm in vms.values())


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def start_pairs(home: Path, *, pairs: int) -> list[Figure]:
    """Interleaved: QEMU by hand, then the worker's, `pairs` times."""
    program = shutil.which("procurator-vmm", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}") or "procurator-vmm"
    direct: list[float] = []
    ours: list[float] = []
    async with a_worker(home, command=(program,), net=NET) as worker:
        cp = worker.control_plane
        toplevel = (await build(worker, "web"))["web"]
        web = a_real_spec("web", toplevel, checks=http_check())
        by_hand = home / "by-hand"
        by_hand.mkdir()
        image = await make_image(by_hand, toplevel)
        await _orchestrated(worker, web)  # pulls, and makes the image
        for _ in range(pairs):
            async with booted(Path(toplevel), image, work=by_hand) as (took, _page):
                direct.append(round(took, 3))
            ours.append(round(await _orchestrated(worker, web), 3))
            print(f"  by hand {direct[-1]:.2f} s, by the worker {ours[-1]:.2f} s", file=sys.stderr)
        cp.assign()
    ratios = [round(mine / theirs, 3) for mine, theirs in zip(ours, direct, strict=True)]
    return [
        Figure("worker.start_ratio", statistics.median(ratios), "", "<= 1.05", "QEMU by hand", ratios),
        Figure("worker.start", round(statistics.median(ours), 3), "s", "", "", ours),
        Figure("worker.start_by_hand", round(statistics.median(direct), 3), "s", "", "", direct),
    ]


async def _orchestrated(worker: RunningWorker, web: VmSpec) -> float:
    """Seconds from the assignment until the guest answers; it is gone again when this returns."""
    cp = worker.control_plane
    began = trio.current_time()
    cp.assign(Wanted("web-0", web))
    with trio.fail_after(120):
        await first_page(f"{NET}.2", 80)
    took = trio.current_time() - began
    cp.assign()
    await cp.until(lambda vms: not vms, seconds=60)
    return took


async def by_shim_alone(home: Path, *, runs: int) -> list[float]:
    """Seconds of a shim, a fake hypervisor and its boot, with no worker at all."""
    taken: list[float] = []
    async with Shims(modules=(module_of(FAKE),)) as shims:
        for number in range(runs + 1):  # the first one waits for the spawner
            directory = RuntimeDir(home / f"alone-{number}")
            began = trio.current_time()
            live = await start_shim(directory, command=FAKE, log_bytes=4096, shims=shims)
            async with CloudHypervisor(str(directory.api_socket)) as hypervisor:
                await hypervisor.create(a_config(directory.own))
                await hypervisor.act(VmAction.BOOT)
            taken.append(trio.current_time() - began)
            await end(directory, live, grace_seconds=0)
    return taken[1:]


def _wanted(spec: VmSpec, count: int) -> list[Wanted]:
    return [Wanted(f"web-{number}", spec, number=2 + number % 250) for number in range(count)]


async def one_after_another(worker: RunningWorker, spec: VmSpec, *, starts: int) -> list[float]:
    """Seconds from each assignment to the accepted boot of its one new VM, `RATE` of them a second."""
    cp, wanted = worker.control_plane, _wanted(spec, starts)
    asked: dict[str, float] = {}
    began, logged = trio.current_time(), len(worker.log)
    for number, one in enumerate(wanted):
        asked[one.instance] = time.time_ns() / 1e9
        cp.assign(*wanted[: number + 1])
        await trio.sleep_until(began + (number + 1) / RATE)
    await cp.until(all_up(starts), seconds=60)
    accepted = {name: datetime.fromisoformat(at).timestamp() for at, name in ACCEPTED.findall(worker.log[logged:])}
    return [accepted[name] - at for name, at in asked.items()]


async def many(home: Path, *, count: int, starts: int) -> list[Figure]:
    """Starts with the fake hypervisor, then the death and the return of the agent beside `count` VMs."""
    settings = {"limits": MANY_LIMITS, "min_healthy_ms": 100, "capacity": {"cpu": 4096, "memory_mb": 1 << 22}}
    async with a_worker(home, settings=settings.items(), net=NET) as worker:
        cp = worker.control_plane
        spec = worker.a_published_spec(replicas=count, memory_mb=32)
        cp.assign(Wanted("web-0", spec))
        await cp.until(all_up(1), seconds=60)
        cp.assign()
        await cp.until(lambda vms: not vms)
        alone = await by_shim_alone(home, runs=max(3, starts // 2))
        before_cpu = _cpu_seconds(worker)
        each = await one_after_another(worker, spec, starts=starts)
        cpu = (_cpu_seconds(worker) - before_cpu) / starts
        cp.assign()
        await cp.until(lambda vms: not vms, seconds=60)
        empty_rss = await _restarted(worker, 0)
        began = trio.current_time()
        cp.assign(*_wanted(spec, count))
        before = await cp.until(all_up(count), seconds=600)
        took = trio.current_time() - began
        full_rss = await _restarted(worker, count)
        adoption = float(re.findall(rf"adopted {count} VMs in ([0-9.]+) s", worker.log)[-1])
        after = cp.vms()
        restarted = sum(after[name].pid != vm.pid for name, vm in before.items())
        beside = [_proportional_memory(vm.pid) for vm in before.values() if vm.pid]
        cp.assign()
        await cp.until(lambda vms: not vms, seconds=600)
    own = (statistics.median(each) - statistics.median(alone)) * 1000
    return [
        Figure("worker.boot_accepted_p99", round(percentile(each, 0.99) * 1000, 1), "ms", "< 50", "", len(each)),
        Figure("worker.boot_accepted", round(statistics.median(each) * 1000, 1), "ms", "", "", len(each)),
        Figure("worker.shim_and_fake", round(statistics.median(alone) * 1000, 1), "ms", "", "no worker", len(alone)),
        Figure("worker.boot_added", round(own, 1), "ms", "", "shim and fake alone", len(each)),
        Figure("worker.agent_cpu_a_start", round(cpu * 1000, 1), "ms", "", "", len(each)),
        Figure("worker.starts_per_second", round(count / took, 1), "1/s", ">= 10", "", count),
        Figure(f"worker.adopt_{count}", round(adoption, 3), "s", "< 1", "", 1),
        Figure("worker.restarted", restarted, "", "0", "", count),
        Figure("worker.memory_a_vm", round((full_rss - empty_rss) / count / MIB, 3), "MiB", "< 1", "", count),
        Figure("worker.memory_beside_a_vm", round(statistics.median(beside) / MIB, 2), "MiB", "", "", len(beside)),
    ]


def _cpu_seconds(worker: RunningWorker) -> float:
    """What the agent itself has used."""
    assert worker.process is not None
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _proportional_memory(hypervisor: int) -> float:
    """Bytes of a VM's shim and fake hypervisor, shared pages by their share."""
    shim = int(Path(f"/proc/{hypervisor}/stat").read_text().rpartition(")")[2].split()[1])
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in (hypervisor, shim)]
    return sum(float(text.partition("\nPss:")[2].split()[0]) for text in texts) * 1024


async def _restarted(worker: RunningWorker, count: int) -> float:
    """Kill the agent and start it: its memory (bytes) once it has reported all."""
    await worker.end(signal.SIGKILL)
    worker.control_plane.reports.clear()
    await worker.start()
    await worker.control_plane.until(lambda vms: len(vms) == count and all(vm.pid for vm in vms.values()), seconds=60)
    await trio.sleep(2.0)
    assert worker.process is not None
    return _rss(worker.process)


def _rss(process: "subprocess.Popen[bytes]") -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return float(status.partition("VmRSS:")[2].split()[0]) * 1024


async def measure(*, quick: bool) -> list[Figure]:
    """All of it."""
    figures: list[Figure] = []
    for measured in (
        partial(start_pairs, pairs=1 if quick else 5),
        partial(many, count=20 if quick else 200, starts=20 if quick else 100),
    ):
        with tempfile.TemporaryDirectory(prefix="pcb-") as home:
            Path(home).chmod(0o711)
            figures += await measured(Path(home))
    return figures


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object a line for each figure")
    parser.add_argument("--quick", action="store_true", help="under 50 s: one pair, 20 VMs")
    options = parser.parse_args()
    for figure in trio.run(partial(measure, quick=options.quick)):
        figure.show(as_json=options.json)


if __name__ == "__main__":
    main()
