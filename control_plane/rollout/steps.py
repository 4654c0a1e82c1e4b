"""The next step of the newest rollout: who is set to which generation now, and what signal it takes; it stores nothing.

Level-triggered: everything is derived from the snapshot and the observations, so that a step that was written and not
seen to its end is simply gone on with. Forward: all that is new, or changed in live fields only, at once; the changed
ones in the order of their dependencies, at most `maxParallel` not healthy at a time; then the removals. Back: the goal
is the map of last good generations; what is not healthy anyway goes at once, the healthy ones one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.observations import Observations
from control_plane.rollout.clocks import MARGIN_MS, failure_of, healthy_for_ms, late_ms
from control_plane.rollout.order import dependency_order
from control_plane.rollout.table import Signal
from control_plane.state import NOTHING, ChangeKind, Generation, Placement, Rollout, Snapshot
from schema.names import printable
from schema.status import RolloutState


@dataclass(frozen=True, slots=True)
class Step:
    """Instances and the generation that each shall be set to (NOTHING: withdrawn), or a signal with its reason.

    `recheck_ms`: when time alone may bring the next step, None when only a change can.
    """

    targets: Mapping[str, int] = field(default_factory=dict)
    signal: Signal | None = None
    reason: str = ""
    recheck_ms: int | None = None


def next_step(snapshot: Snapshot, observations: Observations, *, now_ms: int, lost_after_ms: int) -> Step:
    """What the newest rollout does now; an empty step when it is over, paused or waiting."""
    rollout, generation = snapshot.rollout, snapshot.newest
    if rollout is None or generation is None:
        return Step()
    walk = _Walk(snapshot, observations, generation, rollout, now_ms=now_ms, lost_after_ms=lost_after_ms)
    match rollout.state:
        case RolloutState.RUNNING:
            return walk.forward()
        case RolloutState.ROLLING_BACK:
            return walk.back()
        case _:
            return Step()


def blocked_step(snapshot: Snapshot, refused: Mapping[str, str]) -> Step:
    """The step when `refused` instances (with reasons) fit nowhere: what runs is left alone, the rollout has failed."""
    rollout, generation = snapshot.rollout, snapshot.newest
    if rollout is None or generation is None:
        return Step()
    if rollout.state is RolloutState.ROLLING_BACK:
        return Step(signal=Signal.NOT_RESTORED, reason=f"{rollout.reason}; {_first_of(refused)}")
    return _failed(generation, refused)


def _failed(generation: Generation, failed: Mapping[str, str]) -> Step:
    stays = any(not generation.instances[name].value.update.auto_rollback for name in failed)
    return Step(signal=Signal.UNHEALTHY_STAYS if stays else Signal.UNHEALTHY, reason=_first_of(failed))


def _first_of(failed: Mapping[str, str]) -> str:
    instance, why = next(iter(failed.items()))
    more = f" (and {len(failed) - 1} more: {', '.join(list(failed)[1:4])})" if len(failed) > 1 else ""
    return printable(f"{instance}: {why}{more}")


class _Walk:
    """One look at a rollout: the values that every question about it needs."""

    def __init__(
        self,
        snapshot: Snapshot,
        observations: Observations,
        generation: Generation,
        rollout: Rollout,
        *,
        now_ms: int,
        lost_after_ms: int,
    ) -> None:
        self.snapshot = snapshot
        self.observations = observations
        self.generation = generation
        self.rollout = rollout
        self.now_ms = now_ms
        self.lost_after_ms = lost_after_ms
        self.policy = generation.rollout.value

    def forward(self) -> Step:
        """Towards the generation."""
        failed = self._failures()
        if failed:
            return _failed(self.generation, failed)
        number = self.generation.number
        behind = [instance for instance in self.generation.instances if self.snapshot.wanted(instance) != number]
        targets = {instance: number for instance in behind if self._kind(instance).at_once}
        targets |= dict.fromkeys(self._next_changed(), number)
        if targets:
            return Step(targets)
        gated = [instance for instance in self.generation.instances if self._kind(instance).is_gated]
        if behind or not all(self._passed(instance) for instance in gated):
            return Step(recheck_ms=self._recheck_ms(gated))
        return self._finish()

    def _finish(self) -> Step:
        dropped = {
            instance: NOTHING
            for instance, placement in self.snapshot.placements.items()
            if instance not in self.generation.instances and placement.generation != NOTHING
        }
        if dropped:
            return Step(dropped)
        if self._someone_leaves():
            return Step(recheck_ms=self.lost_after_ms)
        return Step(signal=Signal.COMPLETED, reason=f"generation {self.generation.number} is healthy")

    def _someone_leaves(self) -> bool:
        """Whether something is still being stopped on a worker that can be heard; a lost one is not waited for."""
        return any(
            placement.generation == NOTHING
            and self.observations.silent_ms(placement.worker_id, now_ms=self.now_ms) <= self.lost_after_ms
            for placement in self.snapshot.placements.values()
        )

    def _next_changed(self) -> list[str]:
        number = self.generation.number
        changed = [
            instance for instance in dependency_order(self.generation) if self._kind(instance) is ChangeKind.CHANGED
        ]
        begun = [instance for instance in changed if self.snapshot.wanted(instance) == number]
        in_flight = sum(not self._passed(instance) for instance in begun)
        waiting = [instance for instance in changed if self.snapshot.wanted(instance) != number]
        return waiting[: max(self.policy.max_parallel - in_flight, 0)]

    def _failures(self) -> dict[str, str]:
        found = {}
        for instance in self.generation.instances:
            placement = self.snapshot.placements.get(instance)
            if placement and placement.generation == self.generation.number and self._kind(instance).is_gated:
                why = self._failure(placement)
                if why is not None:
                    found[instance] = why
        return found

    def back(self) -> Step:
        """Towards the last good generations."""
        goal = self.snapshot.last_good
        behind = [instance for instance in goal if self.snapshot.wanted(instance) != goal[instance]]
        targets = {instance: goal[instance] for instance in behind if self._may_go_at_once(instance)}
        targets |= {
            instance: NOTHING
            for instance, placement in self.snapshot.placements.items()
            if instance not in goal and placement.generation != NOTHING
        }
        returning = [instance for instance in goal if instance not in behind and self._was_touched(instance)]
        open_ones = [instance for instance in returning if not self._passed(instance) and not self._given_up(instance)]
        if not targets:
            healthy = [instance for instance in behind if instance not in targets]
            targets = {one: goal[one] for one in healthy[: max(self.policy.max_parallel - len(open_ones), 0)]}
        if targets:
            return Step(targets)
        if behind or open_ones or self._someone_leaves():
            return Step(recheck_ms=self._recheck_ms(open_ones))
        return self._restored([instance for instance in returning if not self._passed(instance)])

    def _restored(self, lost: list[str]) -> Step:
        if not lost:
            return Step(signal=Signal.RESTORED)
        reason = f"{self.rollout.reason}; and {', '.join(lost[:4])} did not get healthy again on what was good before"
        return Step(signal=Signal.NOT_RESTORED, reason=reason)

    def _may_go_at_once(self, instance: str) -> bool:
        """Going back costs nothing where nothing is rebooted, or where nothing healthy would be interrupted."""
        now, good = self.snapshot.wanted_spec(instance), self.snapshot.good_spec(instance)
        placement = self.snapshot.placements.get(instance)
        if now is None or good is None or placement is None or now.content_hash == good.content_hash:
            return True
        return healthy_for_ms(self.observations.clocks, placement, now_ms=self.now_ms) is None

    def _was_touched(self, instance: str) -> bool:
        return self._kind(instance) is not ChangeKind.SAME

    def _given_up(self, instance: str) -> bool:
        """Whether a restored instance is past its deadline, or is reverted: nothing better will come of it."""
        return self._failure(self.snapshot.placements[instance]) is not None

    def _kind(self, instance: str) -> ChangeKind:
        """What is in neither generation was dropped by a superseded rollout, so it counts as removed."""
        return self.rollout.kinds.get(instance, ChangeKind.REMOVED)

    def _failure(self, placement: Placement) -> str | None:
        return failure_of(
            self.snapshot, self.observations, placement, now_ms=self.now_ms, lost_after_ms=self.lost_after_ms
        )

    def _passed(self, instance: str) -> bool:
        placement = self.snapshot.placements.get(instance)
        if placement is None:
            return False
        healthy_ms = healthy_for_ms(self.observations.clocks, placement, now_ms=self.now_ms)
        return healthy_ms is not None and healthy_ms >= self.policy.min_healthy_ms

    def _recheck_ms(self, instances: list[str]) -> int | None:
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
