"""Raise the revision of each worker whose assignment a change of state alters; it decides no such change."""

from collections.abc import Mapping
from dataclasses import replace

from control_plane.assign import Outline, outlines
from control_plane.state import Placement, Snapshot, WorkerRecord


def revise(before: Snapshot, after: Snapshot) -> Snapshot:
    """`after` with the revisions that workers must see it under, and each new target marked with its revision."""
    same_maps = (
        before.placements is after.placements
        and before.last_good is after.last_good
        and before.workers is after.workers
    )
    if same_maps:
        return after
    old, new = outlines(before), outlines(after)
    workers = {worker_id: _raised(worker, old=old, new=new) for worker_id, worker in after.workers.items()}
    placements = dict(after.placements)
    for instance, placement in after.placements.items():
        if placement.worker_id in workers and not _same_target(before.placements.get(instance), placement):
            placements[instance] = replace(placement, revision=workers[placement.worker_id].revision)
    return replace(after, workers=workers, placements=placements)


def _raised(worker: WorkerRecord, *, old: Mapping[str, Outline], new: Mapping[str, Outline]) -> WorkerRecord:
    worker_id = worker.worker_id
    if new[worker_id] == old.get(worker_id, Outline()):
        return worker
    return replace(worker, revision=worker.revision + 1)


def _same_target(old: Placement | None, new: Placement) -> bool:
    return old is not None and (old.worker_id, old.generation, old.leaving) == (
        new.worker_id,
        new.generation,
        new.leaving,
    )
