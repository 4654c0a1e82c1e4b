"""Made-up fleets for the scheduler's figures: VM sizes and lifetimes like a public cloud's; it places nothing.

Sizes follow the families that Azure sells (1.75 to 8 GiB a vCPU, powers of two, small ones most often, as in Cortez et
al., "Resource Central", SOSP 2017); the weight of each family differs by seed. Lifetimes are log-normal: most VMs live
for hours, a few for months.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from control_plane.state import Generation, Rollout, Snapshot, Spec, WorkerRecord
from schema.blueprint import PlacementPolicy, RolloutPolicy, Spread
from schema.canonical import Sealed
from schema.generation import Intent, PublishHeader
from schema.origin import Origin
from schema.status import RolloutState, WorkerFacts
from schema.vmspec import VmSpec

GIB = 1024
WORKER_CPU, WORKER_MEMORY_MB = 64, 256 * GIB
ZONES = 3
FAMILIES: tuple[tuple[float, tuple[tuple[int, float, float], ...]], ...] = (
    (0.15, ((1, 1, 0.2), (1, 2, 0.25), (2, 4, 0.25), (2, 8, 0.2), (4, 16, 0.1))),
    (0.35, ((2, 8, 0.45), (4, 16, 0.3), (8, 32, 0.15), (16, 64, 0.07), (32, 128, 0.03))),
    (0.15, ((1, 3.5, 0.3), (2, 7, 0.35), (4, 14, 0.2), (8, 28, 0.1), (16, 56, 0.05))),
    (0.17, ((2, 4, 0.4), (4, 8, 0.3), (8, 16, 0.2), (16, 32, 0.07), (32, 64, 0.03))),
    (0.18, ((2, 16, 0.45), (4, 32, 0.3), (8, 64, 0.15), (16, 128, 0.07), (20, 160, 0.03))),
)
"""Each family's weight, and its sizes: vCPUs, GiB, share."""
REPLICAS = ((1, 0.6), (2, 0.15), (3, 0.15), (6, 0.1))
"""How many replicas a VM has, and how often."""


PolicyOf = Callable[[str], PlacementPolicy]
"""The placement policy of a VM by its name."""


def basic(_vm: str) -> PlacementPolicy:
    """Nothing but room."""
    return PlacementPolicy()


def spread(_vm: str) -> PlacementPolicy:
    """Replicas over the zones, one more or less."""
    return PlacementPolicy(spread=(Spread(over="zone"),))


def apart(vm: str) -> PlacementPolicy:
    """No two replicas on one worker, and none beside those of a neighbour."""
    number = int(vm.removeprefix("vm"))
    return PlacementPolicy(anti_affinity=(vm, f"vm{number ^ 1:06}"))


@dataclass(frozen=True, slots=True)
class Size:
    """One VM's size: vCPUs and MiB."""

    cpu: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Workload:
    """VMs in the order in which they come. `lifetimes`: with a mean of 1."""

    sizes: tuple[Size, ...]
    lifetimes: tuple[float, ...]
    replicas: tuple[int, ...] = field(default=())

    def least_workers(self) -> int:
        """The lower bound: no packing gets by with fewer workers than cpu or memory alone take."""
        cpu = sum(size.cpu * count for size, count in zip(self.sizes, self.replicas, strict=True))
        memory_mb = sum(size.memory_mb * count for size, count in zip(self.sizes, self.replicas, strict=True))
        return max(-(-cpu // WORKER_CPU), -(-memory_mb // WORKER_MEMORY_MB))


def a_workload(*, seed: int, instances: int, distinct: bool = False) -> Workload:
    """`instances` in all. `distinct`: no two VMs have quite the same memory."""
    random = np.random.default_rng(seed)
    weights = np.array([weight for weight, _ in FAMILIES]) * random.uniform(0.6, 1.4, len(FAMILIES))
    counts: list[int] = []
    while sum(counts) < instances:
        drawn = int(random.choice([count for count, _ in REPLICAS], p=[share for _, share in REPLICAS]))
        counts.append(min(drawn, instances - sum(counts)))
    families = random.choice(len(FAMILIES), len(counts), p=weights / weights.sum())
    sizes = []
    for number, family in enumerate(families):
        offered = FAMILIES[family][1]
        cpu, gib, _ = offered[random.choice(len(offered), p=[share for _, _, share in offered])]
        sizes.append(Size(cpu, int(gib * GIB) + (number % 997 if distinct else 0)))
    lifetimes = random.lognormal(0, 1.5, len(counts))
    return Workload(tuple(sizes), tuple((lifetimes / lifetimes.mean()).tolist()), tuple(counts))


def a_fleet(workers: int, *, scale: int = 1) -> Snapshot:
    """Equal workers in three zones, `scale` times as large."""
    records = {}
    for number in range(workers):
        name = f"w{number:05}"
        facts = WorkerFacts(
            cpu=scale * WORKER_CPU, memory_mb=scale * WORKER_MEMORY_MB, labels={"zone": f"z{number % ZONES}"}
        )
        records[name] = WorkerRecord(name, facts, f"10.{number // 256}.{number % 256}.0/24")
    return Snapshot(epoch="0" * 32, workers=records)


def a_generation(workload: Workload, *, policy: PolicyOf = basic, number: int = 1) -> Generation:
    """One generation of all VMs of `workload`. It is signed by nobody."""
    toplevel = f"/nix/store/{'0' * 32}-system"
    vms = {}
    for at, (size, replicas) in enumerate(zip(workload.sizes, workload.replicas, strict=True)):
        spec = VmSpec(
            name=f"vm{at:06}",
            system="nixosConfigurations.vm.system",
            toplevel=toplevel,
            kernel=f"{toplevel}/kernel",
            initrd=f"{toplevel}/initrd",
            cmdline="",
            cpu=size.cpu,
            memory_mb=size.memory_mb,
            replicas=replicas,
            placement=policy(f"vm{at:06}"),
        )
        # The hashes play no part in placing, and computing them would take longer than it.
        vms[spec.name] = Spec(Sealed(b"{}", spec), f"{at:064x}", f"{at:064x}")
    origin = Origin(repository="bench/fleet", branch="main")
    header = PublishHeader(cluster="bench", number=number, commit="0" * 40, origin=origin, intent_hash="0" * 64)
    intent = Sealed.of(Intent(cluster="bench", rollout="0" * 64, vms={}))
    return Generation(header, intent, Sealed.of(RolloutPolicy()), vms, 0)


def ended(rollout: Rollout) -> Rollout:
    """A rollout that has succeeded."""
    return replace(rollout, state=RolloutState.SUCCEEDED, placed_ms=1)
