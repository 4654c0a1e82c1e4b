"""What workers report and since when, kept in memory only; it judges nothing and changes no durable state.

All moments are milliseconds of the caller's monotonic clock (CLOCK_BOOTTIME in the service), never of the wall clock.
After a restart everything here is empty: nothing is then known to be lost, late or healthy, and each clock starts anew.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from control_plane.shards import Shards
from control_plane.state import Placement, Snapshot
from schema.status import PullProgress, Reverted, RunningVm, View, VmPhase, WorkerMetrics, WorkerReport


class SeenVm(NamedTuple):
    """A `RunningVm` as it is remembered: the same fields in a quarter of the memory, for there are a fleet of them."""

    generation: int
    content_hash: str
    spec_hash: str
    phase: VmPhase
    reason: str
    guest_view: View
    host_view: View
    address: str
    pid: int
    running_ms: int
    restarts: int
    phase_ms: tuple[tuple[str, int], ...]
    reverted: Reverted | None
    pull: PullProgress | None

    @classmethod
    def of(cls, vm: RunningVm) -> "SeenVm":
        """What is remembered of `vm`. Texts that many have in common are kept once."""
        return cls(
            vm.generation,
            sys.intern(vm.content_hash),
            sys.intern(vm.spec_hash),
            vm.phase,
            vm.reason,
            vm.guest_view,
            vm.host_view,
            vm.address,
            vm.pid,
            vm.running_ms,
            vm.restarts,
            tuple([(sys.intern(phase), lasted) for phase, lasted in vm.phase_ms.items()]),
            vm.reverted,
            vm.pull,
        )

    @property
    def news(self) -> tuple[object, ...]:
        """What is not a matter of time."""
        return (
            self.phase,
            self.generation,
            self.content_hash,
            self.spec_hash,
            self.reverted,
            self.guest_view,
            self.host_view,
            self.restarts,
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """What is remembered of a worker's last report, and when it came. `vms` are by instance."""

    received_ms: int
    epoch: str
    revision: int
    metrics: WorkerMetrics
    vms: Mapping[str, SeenVm]

    @classmethod
    def of(cls, report: WorkerReport, *, received_ms: int) -> "Observed":
        """The report, its VMs by instance."""
        vms = {vm.instance: SeenVm.of(vm) for vm in report.running_vms}
        return cls(received_ms, sys.intern(report.epoch), report.revision, report.metrics, vms)

    def tells_news(self, before: "Observed | None") -> bool:
        """Whether anything but the passing of time has changed since `before`."""
        if before is None or (before.epoch, before.revision) != (self.epoch, self.revision):
            return True
        return {one: vm.news for one, vm in before.vms.items()} != {one: vm.news for one, vm in self.vms.items()}

    def obeys(self, snapshot: Snapshot, revision: int) -> bool:
        """Whether the worker had taken up `revision` of this database when it reported."""
        return self.epoch == snapshot.epoch and self.revision >= revision


@dataclass(frozen=True, slots=True)
class HealthClock:
    """How long an instance has been healthy, or not, on one target (a generation under a revision).

    `since_ms` is when that began; while it is pulled and prepared it follows the present, because the start deadline
    is for starting. `first_ms` is when the target was first seen.
    """

    generation: int
    revision: int
    first_ms: int
    since_ms: int
    healthy: bool

    def is_of(self, placement: Placement) -> bool:
        """Whether it counts for what `placement` wants now."""
        return self.generation == placement.generation and self.revision == placement.revision


@dataclass(frozen=True, slots=True)
class Return:
    """A worker that was lost came back: how often lately, and when last."""

    count: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Followed:
    """What the clocks were last brought up to: these placements, with these workers lost.

    `restless` are the instances that time alone may change: those that are not healthy.
    """

    placements: Mapping[str, Placement] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    restless: Shards[None] = field(default_factory=Shards)


@dataclass(frozen=True, slots=True)
class Observations:
    """All that is known without being on disk.

    `started_ms` is when this process began to listen, or to listen again after it was itself suspended: no silence
    counts from before it. `returns` are of workers that had been lost.
    """

    started_ms: int = 0
    workers: Mapping[str, Observed] = field(default_factory=dict)
    connected: frozenset[str] = frozenset()
    clocks: Shards[HealthClock] = field(default_factory=Shards)
    followed: Followed = field(default_factory=Followed)
    returns: Mapping[str, Return] = field(default_factory=dict)

    def vm(self, worker_id: str, instance: str) -> SeenVm | None:
        """What a worker last said of an instance."""
        observed = self.workers.get(worker_id)
        return observed.vms.get(instance) if observed else None

    def silent_ms(self, worker_id: str, *, now_ms: int) -> int:
        """For how long a worker has not been heard of while we listened."""
        observed = self.workers.get(worker_id)
        return now_ms - (max(observed.received_ms, self.started_ms) if observed else self.started_ms)

    def with_report(self, report: WorkerReport, *, now_ms: int) -> "Observations":
        """The same with a worker's new report."""
        observed = Observed.of(report, received_ms=now_ms)
        return replace(self, workers={**self.workers, report.worker_id: observed})

    def with_return(self, worker_id: str, known: Return) -> "Observations":
        """The same with a worker that had been lost and is back."""
        return replace(self, returns={**self.returns, worker_id: known})

    def after_suspension(self, *, now_ms: int) -> "Observations":
        """The same after a time in which we could not listen: everyone gets as long as after a start."""
        return replace(self, started_ms=now_ms)

    def with_connection(self, worker_id: str, *, connected: bool) -> "Observations":
        """The same with a worker that has come or gone."""
        changed = self.connected | {worker_id} if connected else self.connected - {worker_id}
        return replace(self, connected=changed)
