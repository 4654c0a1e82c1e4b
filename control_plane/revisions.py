"""Raise the revision of each worker whose assignment a change of state alters; it decides no such change.

Only workers that a change can reach are compared: those of the changed instances and of their peers, before and after.
"""

from collections.abc import Iterable
from dataclasses import replace

from control_plane.assign import outline, peers_of
from control_plane.deltas import derive, difference
from control_plane.index import index_of
from control_plane.state import Placement, Snapshot, WorkerRecord


def revise(before: Snapshot, after: Snapshot) -> Snapshot:
    """`after` with the revisions that workers must see it under, and each new target marked with its revision."""
    same_maps = (
        before.placements is after.placements
        and before.last_good is after.last_good
        and before.holds is after.holds
        and before.workers is after.workers
    )
    if same_maps:
        return after
    changed = difference(before.placements, after.placements)
    touched = _around(before, changed) | _around(after, changed) | _of_last_good(before, after)
    touched |= _of_moved_workers(before, after) | _of_holds(before, after)
    altered = [worker_id for worker_id in touched & set(after.workers) if _is_altered(before, after, worker_id)]
    raised = {one: replace(after.workers[one], revision=after.workers[one].revision + 1) for one in altered}
    workers = derive(after.workers, put=raised)
    marked = {}
    for instance in changed:
        placement = after.placements.get(instance)
        if (
            placement
            and placement.worker_id in workers
            and not _same_target(before.placements.get(instance), placement)
        ):
            marked[instance] = replace(placement, revision=workers[placement.worker_id].revision)
    return replace(after, workers=workers, placements=derive(after.placements, put=marked))


def _is_altered(before: Snapshot, after: Snapshot, worker_id: str) -> bool:
    if worker_id in before.workers and _targets(before, worker_id) != _targets(after, worker_id):
        return True  # so do the outlines, of which this is a part
    return outline(before, worker_id) != outline(after, worker_id)


def _targets(snapshot: Snapshot, worker_id: str) -> dict[str, tuple[int, str]]:
    placed = index_of(snapshot).on.get(worker_id, {})
    return {name: (one.generation, one.address) for name, one in placed.items() if one.is_assigned}


def _around(snapshot: Snapshot, instances: Iterable[str]) -> set[str]:
    """The workers whose outline has something of `instances`: their own, and those of their peers."""
    found = set()
    index = index_of(snapshot)
    for instance in instances:
        placement = snapshot.placements.get(instance)
        if placement and placement.is_assigned:
            found.add(placement.worker_id)
            if instance in index.targets or placement.vm in index.reaching:
                found.update(peer.worker_id for peer in peers_of(snapshot, placement))
    return found


def _of_last_good(before: Snapshot, after: Snapshot) -> set[str]:
    """The workers of instances whose fallback may be another."""
    if before.last_good is after.last_good:
        return set()
    names = {*before.last_good, *after.last_good}
    changed = [name for name in names if before.last_good.get(name) != after.last_good.get(name)]
    return {after.placements[name].worker_id for name in changed if name in after.placements}


def _of_holds(before: Snapshot, after: Snapshot) -> set[str]:
    """The workers of VMs that a hold begins or ends for: what they go back to may be another."""
    if before.holds is after.holds:
        return set()
    holds = [
        hold
        for old, new in ((before.holds, after.holds), (after.holds, before.holds))
        for name, hold in old.items()
        if new.get(name) != hold
    ]
    vms = {vm for hold in holds for vm in hold.against}
    there = index_of(after).of_vm
    return {placement.worker_id for vm in vms for placement in there.get(vm, {}).values()}


def _of_moved_workers(before: Snapshot, after: Snapshot) -> set[str]:
    """The workers that can see another worker's place in the network, where it has changed."""
    if before.workers is after.workers:
        return set()
    changed = [name for name, worker in after.workers.items() if not _same_place(before.workers.get(name), worker)]
    there = index_of(after).on
    return _around(after, [instance for name in changed for instance in there.get(name, {})])


def _same_place(old: WorkerRecord | None, new: WorkerRecord) -> bool:
    return old is new or (old is not None and (old.subnet, old.facts.address) == (new.subnet, new.facts.address))


def _same_target(old: Placement | None, new: Placement) -> bool:
    return old is not None and (old.worker_id, old.generation, old.leaving, old.attempt) == (
        new.worker_id,
        new.generation,
        new.leaving,
        new.attempt,
    )
