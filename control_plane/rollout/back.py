"""The next step homewards: of a rollout that turned around, and of held VMs to their generation; no forward step.

Home is where an instance goes back to: the generation that it is held at, else its last good one. What is not healthy
anyway goes at once, the healthy ones at most `maxParallel` at a time.
"""

from collections.abc import Mapping

from control_plane.rollout.clocks import healthy_for_ms
from control_plane.rollout.look import Look, Step
from control_plane.rollout.pins import homes, pinned_goal
from control_plane.rollout.table import Signal
from control_plane.state import NOTHING, ChangeKind


def back(look: Look) -> Step:
    """Towards home for all that the rollout has changed: changed ones restored, new ones gone, removed ones there."""
    goal = homes(look.snapshot)
    away = {
        instance: NOTHING
        for instance, placement in look.snapshot.placements.items()
        if instance not in goal and placement.generation != NOTHING
    }
    behind = {instance for instance in goal if not look.is_at(instance, goal[instance])}
    returning = [name for name in goal if name not in behind and look.kind(name) is not ChangeKind.SAME]
    open_ones = [name for name in returning if not look.passed(name) and not _given_up(look, name)]
    targets = _homewards(look, {name: goal[name] for name in goal if name in behind}, away, open_ones=len(open_ones))
    if targets:
        return Step(targets)
    if behind or open_ones or look.someone_leaves():
        return Step(recheck_ms=look.recheck_ms(open_ones))
    return _restored(look, [instance for instance in returning if not look.passed(instance)])


def pinning(look: Look) -> Step:
    """Held VMs to where they belong, whatever the rollout does; it waits for nobody else and sends no signal."""
    goal = pinned_goal(look.snapshot)
    behind = {instance: number for instance, number in goal.items() if not look.is_at(instance, number)}
    if not behind:
        return Step()
    there = [name for name, number in goal.items() if number != NOTHING and name not in behind]
    open_ones = [name for name in there if not look.passed(name) and not _given_up(look, name)]
    away = {name: NOTHING for name, number in behind.items() if number == NOTHING}
    rest = {name: number for name, number in behind.items() if number != NOTHING}
    targets = _homewards(look, rest, away, open_ones=len(open_ones))
    return Step(targets, recheck_ms=None if targets else look.recheck_ms(open_ones))


def _homewards(look: Look, behind: Mapping[str, int], away: Mapping[str, int], *, open_ones: int) -> dict[str, int]:
    targets = {instance: number for instance, number in behind.items() if _may_go_at_once(look, instance)}
    targets |= away
    if targets:
        return targets
    most = max(look.policy.max_parallel - open_ones, 0)
    return dict(list(behind.items())[:most])


def _may_go_at_once(look: Look, instance: str) -> bool:
    """Going back costs nothing where nothing is rebooted, or where nothing healthy would be interrupted."""
    now, good = look.snapshot.wanted_spec(instance), look.snapshot.good_spec(instance)
    placement = look.snapshot.placements.get(instance)
    if now is None or good is None or placement is None or now.content_hash == good.content_hash:
        return True
    return healthy_for_ms(look.observations.clocks, placement, now_ms=look.now_ms) is None


def _given_up(look: Look, instance: str) -> bool:
    """Whether a restored instance is past its deadline, or is reverted: nothing better will come of it."""
    placement = look.snapshot.placements.get(instance)
    return placement is not None and look.failure(placement) is not None


def _restored(look: Look, lost: list[str]) -> Step:
    if not lost:
        return Step(signal=Signal.RESTORED)
    names = ", ".join(lost[:4])
    reason = f"{look.rollout.reason}; and {names} did not get healthy again on what was good before"
    return Step(signal=Signal.NOT_RESTORED, reason=reason)
