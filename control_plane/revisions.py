"""Raise the revision of each worker whose assignment a change of state alters; it decides no such change.

Only workers that a change can reach are compared: those of the changed instances and of their peers, before and after.
Where an entry is another for certain, as for a whole fleet when a generation is published, nothing is compared.
"""

from collections.abc import Iterable
from dataclasses import replace

from control_plane.assign import outline, peers_of
from control_plane.deltas import derive, difference
from control_plane.index import index_of, reached
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
    sure = _of_changed_lines(before, after, changed)
    touched = _of_last_good(before, after) | _of_moved_workers(before, after) | _of_holds(before, after)
    if _someone_reaches(before, after, changed):
        touched |= _around(before, changed) | _around(after, changed)
    doubtful = (touched - sure) & after.workers.keys()
    altered = [one for one in after.workers if one in sure] if len(sure) > 1 else list(sure & after.workers.keys())
    altered += [one for one in sorted(doubtful) if outline(before, one) != outline(after, one)]
    raised = {one: _raised(after.workers[one]) for one in altered}
    workers = derive(after.workers, put=raised)
    marked = {}
    for instance in changed:
        placement = after.placements.get(instance)
        if (
            placement
            and placement.worker_id in workers
            and not _same_target(before.placements.get(instance), placement)
        ):
            marked[instance] = _marked(placement, workers[placement.worker_id].revision)
    return replace(after, workers=workers, placements=derive(after.placements, put=marked))


def _raised(one: WorkerRecord) -> WorkerRecord:
    return WorkerRecord(one.worker_id, one.facts, one.subnet, one.revision + 1)


def _marked(one: Placement, revision: int) -> Placement:
    """`one` under another revision; for a whole fleet `dataclasses.replace` takes three times as long."""
    return Placement(
        one.instance,
        one.generation,
        one.worker_id,
        one.address,
        one.reserved,
        one.leaving,
        revision,
        one.reason,
        one.attempt,
    )


def _of_changed_lines(before: Snapshot, after: Snapshot, changed: Iterable[str]) -> set[str]:
    """The workers of whose assignment an entry comes, goes or changes for certain: no text has to be compared."""
    found = set()
    for instance in changed:
        old, new = before.placements.get(instance), after.placements.get(instance)
        was = old if old and old.is_assigned else None
        is_ = new if new and new.is_assigned else None
        if was and is_ and was.worker_id == is_.worker_id:
            if (was.generation, was.address, was.attempt) != (is_.generation, is_.address, is_.attempt):
                found.add(is_.worker_id)
        else:
            found.update(one.worker_id for one in (was, is_) if one)
    return found


def _someone_reaches(before: Snapshot, after: Snapshot, changed: Iterable[str]) -> bool:
    """Whether any of `changed` may be a peer, or have some; without that only its own worker can be concerned."""
    if index_of(before).reaching:
        return True
    asked: set[tuple[str, int]] = set()
    for instance in changed:
        new = after.placements.get(instance)
        if new and new.is_assigned and (key := (new.vm, new.generation)) not in asked:
            asked.add(key)
            if reached(after, new):
                return True
    return False


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
