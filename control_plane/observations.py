"""What workers report and since when, kept in memory only; it judges nothing and changes no durable state.

All moments are milliseconds of the caller's monotonic clock (CLOCK_BOOTTIME in the service), never of the wall clock.
After a restart everything here is empty: nothing is then known to be lost, late or healthy, and each clock starts anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from control_plane.state import Placement, Snapshot
from schema.status import RunningVm, WorkerReport


@dataclass(frozen=True, slots=True)
class Observed:
    """A worker's last report and when it came."""

    report: WorkerReport
    received_ms: int
    vms: Mapping[str, RunningVm]

    @classmethod
    def of(cls, report: WorkerReport, *, received_ms: int) -> "Observed":
        """The report, its VMs by instance."""
        return cls(report, received_ms, {vm.instance: vm for vm in report.running_vms})

    def tells_news(self, before: "Observed | None") -> bool:
        """Whether anything but the passing of time has changed since `before`."""
        if before is None or before.report.revision != self.report.revision or before.report.epoch != self.report.epoch:
            return True
        return _without_times(before) != _without_times(self)

    def obeys(self, snapshot: Snapshot, revision: int) -> bool:
        """Whether the worker had taken up `revision` of this database when it reported."""
        return self.report.epoch == snapshot.epoch and self.report.revision >= revision


def _without_times(observed: Observed) -> list[tuple[object, ...]]:
    return [
        (vm.instance, vm.phase, vm.generation, vm.content_hash, vm.spec_hash, vm.reverted, vm.guest_view, vm.host_view)
        for vm in observed.report.running_vms
    ]


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
    restless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Observations:
    """All that is known without being on disk.

    `started_ms` is when this process began to listen, or to listen again after it was itself suspended: no silence
    counts from before it. `returns` are of workers that had been lost.
    """

    started_ms: int = 0
    workers: Mapping[str, Observed] = field(default_factory=dict)
    connected: frozenset[str] = frozenset()
    clocks: Mapping[str, HealthClock] = field(default_factory=dict)
    followed: Followed = Followed()
    returns: Mapping[str, Return] = field(default_factory=dict)

    def vm(self, worker_id: str, instance: str) -> RunningVm | None:
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
