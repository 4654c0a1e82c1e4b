"""What a simulation found, from the times that its processes noted down; it times nothing."""

from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that `share` (0 to 1) of them do not exceed; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a generation got around: seconds from its publish to the answer, and to half, 99 % and all of the workers.

    `succeeded_s`: until its rollout had succeeded. `heartbeat_p99_ms` is of the reports of that time. `processor_s` is
    what the control plane used of a processor until all had taken it up.
    """

    published_s: float
    half_s: float
    most_s: float
    all_s: float
    succeeded_s: float
    heartbeat_p99_ms: float
    processor_s: float

    @classmethod
    def of(
        cls,
        *,
        began_s: float,
        published_s: float,
        told_s: Sequence[float],
        succeeded_s: float,
        beats: Sequence[float],
        processor_s: float,
    ) -> "Spread":
        """From moments of one clock; `told_s` is when each worker was told."""
        return cls(
            published_s=published_s - began_s,
            half_s=percentile(told_s, 0.5) - began_s,
            most_s=percentile(told_s, 0.99) - began_s,
            all_s=max(told_s) - began_s,
            succeeded_s=succeeded_s - began_s,
            heartbeat_p99_ms=percentile(beats, 0.99) * 1000,
            processor_s=processor_s,
        )


@dataclass(frozen=True, slots=True)
class Beats:
    """Reports in the steady state: how many, and milliseconds from report to answer."""

    count: int
    median_ms: float
    p99_ms: float
    worst_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Beats":
        """From seconds each."""
        return cls(
            count=len(seconds),
            median_ms=percentile(seconds, 0.5) * 1000,
            p99_ms=percentile(seconds, 0.99) * 1000,
            worst_ms=max(seconds, default=0.0) * 1000,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A whole simulation. Memory is MiB of the control plane, `processor` its share of a core in the quiet time."""

    workers: int
    vms: int
    tls: bool
    arrival_s: float
    first: Spread
    next: Spread
    beats: Beats
    memory_connected_mb: float
    memory_mb: float
    memory_most_mb: float
    processor: float

    def table(self) -> str:
        """For people."""
        first, after, beats = self.first, self.next, self.beats
        memory = f"{self.memory_connected_mb:.0f}, {self.memory_mb:.0f}, {self.memory_most_mb:.0f} MiB"
        rows = [
            ("workers, VMs", f"{self.workers}, {self.vms}{', TLS' if self.tls else ''}"),
            ("all connected", f"{self.arrival_s:.1f} s"),
            ("first generation: known to all, succeeded", f"{first.all_s:.2f} s, {first.succeeded_s:.2f} s"),
            ("next generation: acknowledged", f"{after.published_s:.2f} s"),
            ("  known to half, 99 %, all", f"{after.half_s:.2f} s, {after.most_s:.2f} s, {after.all_s:.2f} s"),
            ("  succeeded", f"{after.succeeded_s:.2f} s"),
            ("  processor until taken up by all", f"{after.processor_s:.2f} s"),
            ("  heartbeat p99 meanwhile", f"{after.heartbeat_p99_ms:.1f} ms"),
            ("heartbeats", str(beats.count)),
            ("  median, p99, worst", f"{beats.median_ms:.1f} ms, {beats.p99_ms:.1f} ms, {beats.worst_ms:.1f} ms"),
            ("control plane: memory connected, now, most", memory),
            ("  processor when steady", f"{self.processor:.0%} of one core"),
        ]
        return "\n".join(f"{name:<44} {value}" for name, value in rows)
