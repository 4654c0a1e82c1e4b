"""The events that people are shown, from two snapshots or two reports of a worker; it sends none of them."""

from collections.abc import Collection, Iterator

from control_plane.deltas import difference
from control_plane.liveness.losses import MassLoss
from control_plane.observations import Observed
from control_plane.state import NOTHING, Placement, Rollout, Snapshot, WaveProgress, natural
from schema.operations import Admission
from schema.status import Event, EventKind


def state_events(before: Snapshot, after: Snapshot, *, wall_ms: int) -> tuple[Event, ...]:
    """What a change of state means to people, in the order in which it is told."""
    told = (
        *_generations(before, after),
        *_joins(before, after),
        *_workers(before, after),
        *_placements(before, after),
        *_rollouts(before, after),
        *_holds(before, after),
    )
    return tuple(Event(at_ms=wall_ms, kind=kind, subject=subject, message=message) for kind, subject, message in told)


def report_events(before: Observed | None, after: Observed, *, wall_ms: int) -> tuple[Event, ...]:
    """The VMs whose phase or content a worker reports to be another than before."""
    old = before.vms if before else {}
    events = []
    for instance, vm in sorted(after.vms.items()):
        was = old.get(instance)
        if was and (was.phase, was.content_hash, was.reverted) == (vm.phase, vm.content_hash, vm.reverted):
            continue
        why = vm.reverted.reason if vm.reverted else vm.reason
        message = f"{vm.phase.value} on generation {vm.generation}" + (f": {why}" if why else "")
        events.append(Event(at_ms=wall_ms, kind=EventKind.VM, subject=instance, message=message))
    for instance in sorted(set(old) - set(after.vms)):
        events.append(Event(at_ms=wall_ms, kind=EventKind.VM, subject=instance, message="gone"))
    return tuple(events)


def liveness_events(before: Collection[str], after: Collection[str], *, wall_ms: int) -> tuple[Event, ...]:
    """The workers that were lost, or are back. Both arguments are the lost ones."""
    lost = [
        (worker_id, "lost: it has not been heard of for too long") for worker_id in after if worker_id not in before
    ]
    back = [(worker_id, "heard of again") for worker_id in before if worker_id not in after]
    return tuple(connection_event(worker_id, message, wall_ms=wall_ms) for worker_id, message in sorted(lost + back))


def mass_events(before: MassLoss | None, after: MassLoss | None, *, wall_ms: int) -> tuple[Event, ...]:
    """That so many workers are away at once that eviction stops, or that it goes on."""
    if (before is None) is (after is None):
        return ()
    message = str(after) if after else "eviction goes on: enough workers are back"
    return (connection_event("fleet", message, wall_ms=wall_ms),)


def connection_event(worker_id: str, message: str, *, wall_ms: int) -> Event:
    """Something about whether a worker can be reached."""
    return Event(at_ms=wall_ms, kind=EventKind.WORKER, subject=worker_id, message=message)


_Told = tuple[EventKind, str, str]
MOST_PLACEMENTS = 500
"""Instances of one change that are told one by one: more than a watcher's ring holds would only push the rest out."""


def _generations(before: Snapshot, after: Snapshot) -> Iterator[_Told]:
    for number in sorted(set(after.generations) - set(before.generations)):
        header = after.generations[number].header
        yield EventKind.GENERATION, str(number), f"published from {header.origin} at {header.commit[:12]}"


def _joins(before: Snapshot, after: Snapshot) -> Iterator[_Told]:
    known = before.identity.admissions
    if after.identity.admissions is known:
        return
    for worker_id, record in after.identity.admissions.items():
        old = known.get(worker_id)
        if old and (old.admission, old.public_key) == (record.admission, record.public_key):
            continue
        if record.admission is Admission.PENDING:
            message = f"asks to join from {record.peer} with key {record.fingerprint}"
        else:
            message = f"{record.admission} by {record.decided_by}" + (f": {record.reason}" if record.reason else "")
        yield EventKind.JOIN, worker_id, message


def _workers(before: Snapshot, after: Snapshot) -> Iterator[_Told]:
    for worker_id in sorted(set(after.workers) - set(before.workers)):
        yield EventKind.WORKER, worker_id, f"joined with {after.workers[worker_id].subnet}"
    if before.liveness is not after.liveness:
        for worker_id in sorted(after.workers):
            for message in (*_ordered(before, after, worker_id), *_evicted(before, after, worker_id)):
                yield EventKind.WORKER, worker_id, message


def _ordered(before: Snapshot, after: Snapshot, worker_id: str) -> Iterator[str]:
    old, new = before.liveness.cordons.get(worker_id), after.liveness.cordons.get(worker_id)
    if old and not new:
        yield "takes VMs again"
    if new and new != old:
        why = f": {new.reason}" if new.reason else ""
        yield f"{'drained' if new.draining else 'cordoned'} by {new.actor}{why}"


def _evicted(before: Snapshot, after: Snapshot, worker_id: str) -> Iterator[str]:
    old, new = before.liveness.evictions.get(worker_id), after.liveness.evictions.get(worker_id)
    if old and not new:
        yield "is taken back: it has let go of what was placed elsewhere"
    if new and new != old:
        count = len(new.instances) - (len(old.instances) if old else 0)
        yield f"given up: {count} of its instances may be placed elsewhere"


def _placements(before: Snapshot, after: Snapshot) -> Iterator[_Told]:
    if before.placements is after.placements:
        return
    changed = sorted(difference(before.placements, after.placements), key=natural)
    for instance in changed[:MOST_PLACEMENTS]:
        old, new = before.placements.get(instance), after.placements.get(instance)
        message = _moved(old, new)
        if message:
            yield EventKind.PLACEMENT, instance, message
    if len(changed) > MOST_PLACEMENTS:
        yield EventKind.PLACEMENT, "fleet", f"and {len(changed) - MOST_PLACEMENTS} more instances by the same change"


def _moved(old: Placement | None, new: Placement | None) -> str:
    if new is None:
        return "released"
    if old and (old.generation, old.worker_id, old.leaving) == (new.generation, new.worker_id, new.leaving):
        return "" if old.reason == new.reason else f"not placed: {new.reason}"
    if new.generation == NOTHING or new.leaving:
        return f"leaves {new.worker_id}: {new.reason}"
    if not new.worker_id:
        return f"not placed: {new.reason}"
    return f"generation {new.generation} on {new.worker_id}: {new.reason}"


def _rollouts(before: Snapshot, after: Snapshot) -> Iterator[_Told]:
    for number, rollout in sorted(after.rollouts.items()):
        old = before.rollouts.get(number)
        if old is rollout:
            continue
        for message in _of_waves(old, rollout):
            yield EventKind.ROLLOUT, str(number), message
        if old is None or old.state is not rollout.state:
            by = f" by {rollout.actor}" if rollout.actor else ""
            why = f": {rollout.reason}" if rollout.reason else ""
            yield EventKind.ROLLOUT, str(number), f"{rollout.state.value}{by}{why}"


def _of_waves(old: Rollout | None, rollout: Rollout) -> Iterator[str]:
    """What its waves came to, and who failed. A rollout of one wave is told by its states alone."""
    was = old.waves if old and len(old.waves) == len(rollout.waves) else ()
    for index, wave in enumerate(rollout.waves if len(rollout.waves) > 1 else ()):
        before = was[index] if was else WaveProgress(())
        name = f"wave {index + 1} of {len(rollout.waves)}"
        if wave.promoted_by and not before.promoted_by:
            yield f"{name} is approved by {wave.promoted_by}"
        if wave.opened_ms is not None and before.opened_ms is None:
            yield f"{name} opens: {len(wave.instances)} VMs"
        if wave.finished_ms is not None and before.finished_ms is None:
            yield f"{name} is done"
    for instance, why in rollout.failed.items():
        if old is None or instance not in old.failed:
            yield f"{instance} failed: {why}"


def _holds(before: Snapshot, after: Snapshot) -> Iterator[_Told]:
    if before.holds is after.holds:
        return
    for hold in after.holds.values():
        if hold.id not in before.holds:
            why = f": {hold.reason}" if hold.reason else ""
            message = f"hold {hold.id} by {hold.actor} keeps {', '.join(hold.vms)} here{why}"
            yield EventKind.ROLLOUT, str(hold.generation), message
    for name, hold in before.holds.items():
        left = after.holds[name].vms if name in after.holds else ()
        gone = [vm for vm in hold.vms if vm not in left]
        if gone:
            yield EventKind.ROLLOUT, str(hold.generation), f"hold {name} has ended for {', '.join(gone)}"
