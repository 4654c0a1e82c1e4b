"""The next step towards a generation: waves, failures within the budget, removals; going back is `back.py`'s.

A step that is only progress (a wave opens, something failed within `maxFailures`) is looked past at once, so that it is
written together with what follows from it.
"""

from dataclasses import replace
from functools import partial
from itertools import takewhile

from control_plane.rollout.changes import InstancesFailed, Progress, WaveFinished, WaveOpened
from control_plane.rollout.look import Look, Step, first_of, soonest
from control_plane.rollout.pins import pinned
from control_plane.rollout.table import Signal
from control_plane.rollout.waves import due_in_ms, holdup, set_back, unfinished
from control_plane.state import NOTHING, ChangeKind, WaveProgress
from schema.names import printable


def forward(look: Look) -> Step:
    """The step; an empty one while something is waited for."""
    failures = look.new_failures()
    if failures or len(look.rollout.failed) > look.policy.max_failures:
        return failed(look, failures)
    targets = _returning(look)
    index = unfinished(look.rollout)
    if index is None:
        return Step({**targets, **_the_same(look)}) if targets or _the_same(look) else _finish(look)
    wave = look.rollout.waves[index]
    if wave.opened_ms is None:
        if set_back(look.rollout, index, wall_ms=look.wall_ms):
            return _past(look, WaveFinished(look.number, index - 1, look.wall_ms))
        held_up = holdup(look.rollout, index, wall_ms=look.wall_ms)
        if held_up is None:
            return _past(look, WaveOpened(look.number, index, look.wall_ms))
        return Step(targets, recheck_ms=soonest(held_up.remaining_ms, look.recheck_ms(look.begun())))
    targets |= _the_same(look) if index == 0 else {}
    targets |= dict.fromkeys(_due(look), look.number)
    if targets:
        return Step(targets)
    if all(look.done(instance) for instance in look.begun()):
        return _past(look, WaveFinished(look.number, index, look.wall_ms))
    return Step(recheck_ms=soonest(look.recheck_ms(look.begun()), _next_due_ms(look)))


def failed(look: Look, failures: dict[str, str]) -> Step:
    """What follows when these did not get healthy: on without them within `maxFailures`, else back or a pause."""
    told = InstancesFailed(look.number, failures)
    known = {**failures, **look.rollout.failed}
    if len(known) <= look.policy.max_failures:
        return _past(look, told)
    stays = any(not look.generation.instances[name].value.update.auto_rollback for name in known)
    signal = Signal.UNHEALTHY_STAYS if stays else Signal.UNHEALTHY
    budget = f"; {len(known)} failed, and maxFailures is {look.policy.max_failures}" if look.policy.max_failures else ""
    return Step(signal=signal, reason=first_of(known) + budget, progress=(told,) if failures else ())


def paused(look: Look) -> Step:
    """Nothing begins; what fails meanwhile is told, and gets another try when an operator resumes."""
    failures = look.new_failures()
    progress = (InstancesFailed(look.number, failures),) if failures else ()
    return Step(progress=progress, recheck_ms=look.recheck_ms(look.begun()))


def _past(look: Look, progress: Progress) -> Step:
    step = forward(look.after(progress))
    return replace(step, progress=(progress, *step.progress))


def _returning(look: Look) -> dict[str, int]:
    """What failed within the budget goes back by itself, unless it has `autoRollback = false`: then it stays."""
    return {
        instance: look.snapshot.home(instance)
        for instance in look.rollout.failed
        if look.is_at(instance, look.number)
        and look.snapshot.home(instance) != look.number
        and look.generation.instances[instance].value.update.auto_rollback
    }


def _the_same(look: Look) -> dict[str, int]:
    """What is equal byte for byte takes the new number without being touched."""
    kinds = look.rollout.kinds
    return {
        instance: look.number
        for instance in look.generation.instances
        if kinds.get(instance) is ChangeKind.SAME and not look.is_at(instance, look.number)
    }


def _due(look: Look) -> list[str]:
    """Who changes now: all that reboots nothing and is due, and as many of the rest as `maxParallel` leaves."""
    at_once: list[str] = []
    in_order: list[str] = []
    in_flight = _disturbed(look)
    for wave in look.rollout.waves:
        if wave.opened_ms is None:
            break
        changed = []
        for instance in wave.instances:
            if instance in look.rollout.failed:
                continue
            if look.is_at(instance, look.number):
                in_flight += look.kind(instance) is ChangeKind.CHANGED and not look.passed(instance)
            elif look.kind(instance) is ChangeKind.CHANGED:
                changed.append(instance)
            elif _is_due(look, wave, instance):
                at_once.append(instance)
        in_order += takewhile(partial(_is_due, look, wave), changed)
    return at_once + in_order[: max(look.policy.max_parallel - in_flight, 0)]


def _disturbed(look: Look) -> int:
    """How many that failed are on their way back: they count against `maxParallel` until they are well or given up."""
    count = sum(number != NOTHING for number in _returning(look).values())
    for instance in look.rollout.failed:
        placement = look.snapshot.placements.get(instance)
        if placement and placement.generation not in (look.number, NOTHING) and not look.passed(instance):
            count += look.failure(placement) is None
    return count


def _is_due(look: Look, wave: WaveProgress, instance: str) -> bool:
    return due_in_ms(look.generation, wave, instance, wall_ms=look.wall_ms) <= 0


def _next_due_ms(look: Look) -> int | None:
    if not look.policy.jitter_ms:
        return None
    waits = [
        due_in_ms(look.generation, wave, instance, wall_ms=look.wall_ms)
        for wave in look.rollout.waves
        if wave.opened_ms is not None
        for instance in wave.instances
        if instance not in look.rollout.failed and not look.is_at(instance, look.number)
    ]
    return min((wait for wait in waits if wait > 0), default=None)


def _finish(look: Look) -> Step:
    """All waves are done: what the generation dropped goes, and then it is a success."""
    gated = list(look.begun())
    if not all(look.done(instance) for instance in gated):
        return Step(recheck_ms=look.recheck_ms(gated))
    held = pinned(look.snapshot) if look.snapshot.holds else {}
    dropped = {
        instance: NOTHING
        for instance, placement in look.snapshot.placements.items()
        if placement.generation != NOTHING and instance not in look.generation.instances and placement.vm not in held
    }
    if dropped:
        return Step(dropped)
    if look.someone_leaves():
        return Step(recheck_ms=look.lost_after_ms)
    return Step(signal=Signal.COMPLETED, reason=_success(look))


def _success(look: Look) -> str:
    """What a success is told as: with all that is not on the generation."""
    failures = look.rollout.failed
    name = f"generation {look.number}"
    held = sorted({vm for vm in pinned(look.snapshot) if vm in look.generation.vms}) if look.snapshot.holds else []
    rest = f"; held back: {', '.join(held)}" if held else ""
    if not failures:
        return f"{name} is healthy{rest}"
    of = len(look.generation.instances)
    return printable(
        f"{name} is healthy but for {len(failures)} of {of} VMs (maxFailures is {look.policy.max_failures}): "
        f"{first_of(failures)}{rest}"
    )
