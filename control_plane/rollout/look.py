"""One look at a rollout: the values that every question about it needs, and those questions; it decides no step."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from control_plane.index import index_of
from control_plane.observations import Observations
from control_plane.rollout.changes import Progress, progressed
from control_plane.rollout.clocks import MARGIN_MS, failure_of, healthy_for_ms, late_ms
from control_plane.rollout.table import Signal
from control_plane.state import NOTHING, ChangeKind, Generation, Placement, Rollout, Snapshot
from schema.blueprint import RolloutPolicy
from schema.names import printable

NAMED = 3
"""Instances that a reason names beside the first."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happens next, in one transaction: progress of the rollout, instances with the generation that each shall be
    set to (NOTHING: withdrawn), or a signal with its reason.

    `recheck_ms`: when time alone may bring the next step, None when only a change can.
    """

    targets: Mapping[str, int] = field(default_factory=dict)
    signal: Signal | None = None
    reason: str = ""
    recheck_ms: int | None = None
    progress: tuple[Progress, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """The newest generation and its rollout, what is known, and the time by both clocks."""

    snapshot: Snapshot
    observations: Observations
    generation: Generation
    rollout: Rollout
    now_ms: int
    wall_ms: int
    lost_after_ms: int

    @property
    def policy(self) -> RolloutPolicy:
        """How the generation replaces the one before it."""
        return self.generation.rollout.value

    @property
    def number(self) -> int:
        """The generation's number."""
        return self.generation.number

    def after(self, progress: Progress) -> "Look":
        """The same look with the rollout one step of its own further."""
        return replace(self, rollout=progressed(self.rollout, progress))

    def kind(self, instance: str) -> ChangeKind:
        """What is in neither generation was dropped by a superseded rollout, so it counts as removed."""
        return self.rollout.kinds.get(instance, ChangeKind.REMOVED)

    def begun(self) -> Iterator[str]:
        """The instances of the waves that have opened, in their order."""
        for wave in self.rollout.waves:
            if wave.opened_ms is not None:
                yield from wave.instances

    def is_at(self, instance: str, number: int) -> bool:
        """Whether `instance` is wanted on that generation (NOTHING: on none)."""
        return self.snapshot.wanted(instance) == number

    def passed(self, instance: str) -> bool:
        """Whether it has been healthy for `minHealthyMs` on what it shall run now."""
        placement = self.snapshot.placements.get(instance)
        if placement is None:
            return False
        healthy_ms = healthy_for_ms(self.observations.clocks, placement, now_ms=self.now_ms)
        return healthy_ms is not None and healthy_ms >= self.policy.min_healthy_ms

    def done(self, instance: str) -> bool:
        """Whether its wave need not wait for it any more: healthy on the generation, or told as failed."""
        return instance in self.rollout.failed or (self.is_at(instance, self.number) and self.passed(instance))

    def failure(self, placement: Placement) -> str | None:
        """Why it counts as failed on what it shall run now, None while it may still get healthy."""
        return failure_of(
            self.snapshot, self.observations, placement, now_ms=self.now_ms, lost_after_ms=self.lost_after_ms
        )

    def new_failures(self) -> dict[str, str]:
        """What has not got healthy on the generation and is not yet told as failed."""
        found = {}
        for instance in self.begun():
            placement = self.snapshot.placements.get(instance)
            if placement is None or placement.generation != self.number or instance in self.rollout.failed:
                continue
            clock = self.observations.clocks.get(instance)
            if clock is None or not clock.healthy or not clock.is_of(placement):
                why = self.failure(placement)
                if why is not None:
                    found[instance] = printable(why)
        return found

    def someone_leaves(self) -> bool:
        """Whether something is still being stopped on a worker that can be heard; a lost one is not waited for."""
        return any(
            placement.generation == NOTHING
            and self.observations.silent_ms(placement.worker_id, now_ms=self.now_ms) <= self.lost_after_ms
            for placement in index_of(self.snapshot).leaving.values()
        )

    def recheck_ms(self, instances: Iterable[str]) -> int | None:
        """The soonest moment at which one of `instances` has been healthy for long enough, or is too late."""
        waits = []
        for instance in instances:
            placement = self.snapshot.placements.get(instance)
            if placement is None:
                continue
            healthy_ms = healthy_for_ms(self.observations.clocks, placement, now_ms=self.now_ms)
            if healthy_ms is not None:
                waits.append(self.policy.min_healthy_ms - healthy_ms)
            else:
                late = late_ms(self.snapshot, self.observations.clocks, placement, now_ms=self.now_ms)
                waits.append(-late if late < 0 else MARGIN_MS - late)
        return min((wait for wait in waits if wait > 0), default=None)


def soonest(*waits_ms: int | None) -> int | None:
    """The shortest of the waits that there are."""
    return min((wait for wait in waits_ms if wait is not None), default=None)


def first_of(failed: Mapping[str, str]) -> str:
    """The first of `failed` with its reason, and the names of a few more."""
    instance, why = next(iter(failed.items()))
    others = list(failed)[1 : 1 + NAMED]
    more = f" (and {len(failed) - 1} more: {', '.join(others)})" if others else ""
    return printable(f"{instance}: {why}{more}")
