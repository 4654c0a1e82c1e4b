"""How well and how fast the scheduler places: hosts used against the lower bound, and instances a second.

Times are of this process's CPU, whose work is on one core, so that a busy machine does not change the ratios; runs that
are compared take turns. `--json` prints one object a figure; `--quick` takes fewer seeds and leaves out the largest.
"""

import argparse
import gc
import heapq
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks import _workload as made_up
from benchmarks._figures import Figure
from control_plane.app import COLLECT_AFTER
from control_plane.events import GenerationPublished, PlacementsChanged, StateEvent, apply
from control_plane.observations import Observations
from control_plane.plan import Limits, plan
from control_plane.scheduler.availability import READY
from control_plane.scheduler.fleet import Overcommit
from control_plane.settling import Conditions, settle
from control_plane.state import NOTHING, NOWHERE, Placement, Snapshot
from control_plane.store.rows import changes

SMALL = (10_000, 1_000)
LARGE = (150_000, 5_000)
LARGE_SCALE = 3
"""The large fleet has thirty VMs a worker, the small one ten: its workers are three times as large."""
AS_IT_IS = Overcommit(cpu=1.0)
"""Both dimensions bind: packing by one alone would be easy."""


def cold(
    workload: made_up.Workload, *, workers: int, policy: made_up.PolicyOf = made_up.basic, scale: int = 1
) -> float:
    """Place all of `workload` onto an empty fleet; the seconds of CPU that took."""
    seconds, _ = placed(workload, workers=workers, policy=policy, scale=scale)
    return seconds


def placed(
    workload: made_up.Workload, *, workers: int, policy: made_up.PolicyOf = made_up.basic, scale: int = 1
) -> tuple[float, Mapping[str, Placement]]:
    """The seconds, and the placements. Raises RuntimeError when one instance has no worker."""
    generation = made_up.a_generation(workload, policy=policy)
    snapshot = replace(made_up.a_fleet(workers, scale=scale), generations={1: generation})
    targets = dict.fromkeys(generation.instances, 1)
    under = Conditions(dict.fromkeys(snapshot.workers, READY), AS_IT_IS)
    gc.collect()
    started = time.process_time()
    events, _ = settle(snapshot, targets, under=under)
    seconds = time.process_time() - started
    found = {one.instance: one for event in events if isinstance(event, PlacementsChanged) for one in event.placements}
    if any(not one.worker_id for one in found.values()) or len(found) != len(targets):
        raise RuntimeError("not everything was placed: the workload is too large for the fleet")
    return seconds, found


def overhead(*, seed: int, policy: made_up.PolicyOf = made_up.basic) -> float:
    """By how many percent more workers are used than the lower bound."""
    workload = made_up.a_workload(seed=seed, instances=SMALL[0])
    _, found = placed(workload, workers=SMALL[1], policy=policy)
    used, least = len({one.worker_id for one in found.values()}), workload.least_workers()
    return 100 * (used - least) / least


def churned(*, seed: int, alive: int = 1_000, workers: int = 250) -> float:
    """The same when VMs come one by one and go when their time is over, and none is ever moved: the mean of the second
    half of one lifetime each.
    """
    workload = made_up.a_workload(seed=seed, instances=2 * alive)
    generation = made_up.a_generation(workload)
    snapshot = replace(made_up.a_fleet(workers), generations={1: generation})
    under = Conditions(dict.fromkeys(snapshot.workers, READY), AS_IT_IS)
    names = list(generation.vms)
    ends: list[tuple[float, str]] = []
    excess: list[float] = []
    for number, name in enumerate(names):
        now = number / len(names) * 2
        while ends and ends[0][0] <= now:
            snapshot = without(snapshot, heapq.heappop(ends)[1])
        for event in settle(snapshot, dict.fromkeys(generation.vms[name].value.instances, 1), under=under)[0]:
            snapshot = apply(snapshot, event)
        heapq.heappush(ends, (now + workload.lifetimes[number], name))
        if number >= len(names) // 2 and number % 10 == 0:
            excess.append(excess_of(snapshot))
    return statistics.mean(excess)


def without(snapshot: Snapshot, vm: str) -> Snapshot:
    """The snapshot after `vm` has gone."""
    return replace(snapshot, placements={name: one for name, one in snapshot.placements.items() if one.vm != vm})


def excess_of(snapshot: Snapshot) -> float:
    """By how many percent more workers are in use than what runs takes at least."""
    there = [one for one in snapshot.placements.values() if one.worker_id]
    cpu = sum(one.reserved.cpu for one in there) / made_up.WORKER_CPU
    memory = sum(one.reserved.memory_mb for one in there) / made_up.WORKER_MEMORY_MB
    return 100 * (len({one.worker_id for one in there}) / max(cpu, memory) - 1)


def one_change(*, runs: int) -> dict[str, list[float]]:
    """Milliseconds for one instance that has lost its worker among 10,000 placed ones, by what does the work."""
    snapshot, limits = a_settled_cluster(), Limits(cpu_overcommit=AS_IT_IS.cpu)
    observations = Observations(connected=frozenset(snapshot.workers))
    under = Conditions(dict.fromkeys(snapshot.workers, READY), AS_IT_IS)
    found: dict[str, list[float]] = {"settle": [], "plan + apply": [], "rows to write": []}
    for name in list(snapshot.placements)[:: max(len(snapshot.placements) // runs, 1)][:runs]:
        lost = replace(snapshot.placements[name], worker_id=NOWHERE, address="")
        before = apply(snapshot, PlacementsChanged((lost,)))
        found["settle"].append(milliseconds(lambda: settle(before, under=under)))  # noqa: B023 - called at once
        before = apply(snapshot, PlacementsChanged((replace(lost, attempt=lost.attempt + 1),)))
        started = time.process_time()
        after = before
        for event in planned(before, observations, limits):
            after = apply(after, event)
        found["plan + apply"].append((time.process_time() - started) * 1000)
        if not after.placements[name].worker_id:
            raise RuntimeError(f"{name} was not placed")
        found["rows to write"].append(milliseconds(lambda: changes(before, after)))  # noqa: B023 - called at once
        snapshot = after
    return found


def planned(snapshot: Snapshot, observations: Observations, limits: Limits) -> tuple[StateEvent, ...]:
    """The next events, at a moment at which nobody is lost yet."""
    return plan(snapshot, observations, now_ms=1_000, wall_ms=1_000, limits=limits).events


def a_settled_cluster() -> Snapshot:
    """10,000 instances on 1,000 workers, whose rollout is over."""
    workload = made_up.a_workload(seed=0, instances=SMALL[0])
    generation = made_up.a_generation(workload)
    _, found = placed(workload, workers=SMALL[1])
    snapshot = apply(made_up.a_fleet(SMALL[1]), GenerationPublished(generation))
    rollout = snapshot.rollouts[generation.number]
    snapshot = replace(snapshot, rollouts={1: made_up.ended(rollout)}, last_good=dict.fromkeys(found, 1))
    snapshot = apply(snapshot, PlacementsChanged(tuple(found.values())))
    limits = Limits(cpu_overcommit=AS_IT_IS.cpu)
    observations = Observations(connected=frozenset(snapshot.workers))
    while events := planned(snapshot, observations, limits):
        for event in events:
            snapshot = apply(snapshot, event)
    if any(one.generation == NOTHING for one in snapshot.placements.values()):
        raise RuntimeError("the cluster is not settled")
    return snapshot


def milliseconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def figures(*, seeds: int, runs: int, is_quick: bool) -> list[Figure]:
    """All figures."""
    overheads = [overhead(seed=seed) for seed in range(seeds)]
    found = [Figure("scheduler.hosts over bound", round(max(overheads), 2), "%", "<= 2", "lower bound", overheads)]
    apart = [overhead(seed=seed, policy=made_up.spread) for seed in range(min(seeds, 5))]
    found.append(Figure("scheduler.hosts, spread", round(max(apart), 2), "%", "", "lower bound", apart))
    churn = [churned(seed=seed) for seed in range(1 if is_quick else 3)]
    found.append(Figure("scheduler.hosts, coming and going", round(max(churn), 2), "%", "", "lower bound", churn))
    return [*found, *rates(runs=runs, is_quick=is_quick), *changed(runs=20 * runs)]


def rates(*, runs: int, is_quick: bool) -> list[Figure]:
    """The cold ones, all in turns. What stands beside the large one has placed as many, half of them before it and half
    after: a machine that is busy for a second would else be busy for one of both.
    """
    count, workers = SMALL
    small = made_up.a_workload(seed=0, instances=count)
    kinds: dict[str, Callable[[], float]] = {
        "basic": lambda: count / cold(small, workers=workers),
        "spread": lambda: count / cold(small, workers=workers, policy=made_up.spread),
        "anti-affinity": lambda: count / cold(small, workers=workers, policy=made_up.apart),
        "all sizes distinct": lambda: (
            count / cold(made_up.a_workload(seed=0, instances=count, distinct=True), workers=workers)
        ),
    }
    seen: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(runs):
        for name, rate in kinds.items():
            seen[name].append(rate())
    median = {name: statistics.median(values) for name, values in seen.items()}
    goals = {"spread": ">= 0.5", "anti-affinity": ">= 0.5"}
    seconds = [round(count / value, 3) for value in seen["basic"]]
    return [
        Figure("scheduler.10,000 on 1,000", round(statistics.median(seconds), 3), "s", "<= 1", "", seconds),
        *(Figure(f"scheduler.{name}", round(value), "VMs/s", "", "", seen[name]) for name, value in median.items()),
        *(
            Figure(f"scheduler.{name} ratio", round(median[name] / median["basic"], 2), "ratio", goal, "basic", runs)
            for name, goal in goals.items()
        ),
        *([] if is_quick else grown(small, runs=runs)),
    ]


def grown(small: made_up.Workload, *, runs: int) -> list[Figure]:
    """What a VM of the large fleet costs beside one of the small, at the same time and as many of each."""
    large = made_up.a_workload(seed=0, instances=LARGE[0])
    turns = LARGE[0] // SMALL[0]
    rates, ratios = [], []
    for _ in range(runs):
        seconds = sum(cold(small, workers=SMALL[1]) for _ in range(turns // 2))
        largest = cold(large, workers=LARGE[1], scale=LARGE_SCALE)
        seconds += sum(cold(small, workers=SMALL[1]) for _ in range(turns - turns // 2))
        rates.append(LARGE[0] / largest)
        ratios.append(round(seconds / largest, 3))
    name = "scheduler.150,000 on 5,000"
    return [
        Figure(name, round(statistics.median(rates)), "VMs/s", "", "", rates),
        Figure(f"{name} ratio", round(statistics.median(ratios), 2), "ratio", ">= 0.9", "basic", ratios),
    ]


def changed(*, runs: int) -> list[Figure]:
    """One change among 10,000."""
    goals = {"settle": "<= 5", "plan + apply": "<= 5"}
    return [
        Figure(f"scheduler.one VM, {name}", round(statistics.median(values), 2), "ms", goals.get(name, ""), "", runs)
        for name, values in one_change(runs=runs).items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    gc.set_threshold(*COLLECT_AFTER)  # as the control plane's own process does
    seeds, runs = (4, 3) if options.quick else (20, 5)
    for figure in figures(seeds=seeds, runs=runs, is_quick=options.quick):
        figure.show(as_json=options.json)


if __name__ == "__main__":
    main()
