"""Until when this worker may run its fenced singletons (pure); it reads no clock and writes nothing.

A renewal is a report. The deadline counts from the moment before that report was put together, the control plane's
patience from when it came in (plus a margin), so that the worker's always ends first, however long an answer took.
All moments are nanoseconds of CLOCK_BOOTTIME, which counts the time that the machine was suspended.
"""

from dataclasses import dataclass

NS_PER_MS = 1_000_000


@dataclass(frozen=True, order=True, slots=True)
class Lease:
    """Fenced singletons may run before `deadline_ns` and not from it on; 0: none was ever given."""

    deadline_ns: int = 0

    def left_seconds(self, now_ns: int) -> float:
        """How long it still lasts; zero or less when it is over."""
        return (self.deadline_ns - now_ns) / 1e9


def renewed(lease: Lease, *, sent_ns: int, lease_ms: int, now_ns: int) -> Lease:
    """The lease after the answer to the report of `sent_ns`.

    An answer that was overtaken by a later one shortens nothing. `lease_ms` 0: the control plane gives none any more,
    as what this worker ran was placed elsewhere: it ends at once.
    """
    if lease_ms <= 0:
        return Lease(min(lease.deadline_ns, now_ns))
    return Lease(max(lease.deadline_ns, sent_ns + lease_ms * NS_PER_MS))


def is_worth_keeping(fresh: Lease, *, over: Lease, lease_ms: int) -> bool:
    """Whether a longer lease is to be written down: not while it adds less than a twentieth of its length.

    A worker with news reports many times a second; the shims are told of one lease or another that is still good.
    """
    return not 0 <= fresh.deadline_ns - over.deadline_ns < lease_ms * NS_PER_MS // 20
