"""What a generation means for each instance: new, changed, changed in live fields only, same or removed; no order."""

from collections.abc import Mapping

from control_plane.state import NOTHING, ChangeKind, Generation, Snapshot


def kinds_of(snapshot: Snapshot, generation: Generation) -> Mapping[str, ChangeKind]:
    """The kind of each instance of `generation`, and of each that it drops, against what is wanted in `snapshot`."""
    kinds = {instance: _kind(snapshot, generation, instance) for instance in generation.instances}
    for instance, placement in snapshot.placements.items():
        if instance not in kinds and placement.generation != NOTHING:
            kinds[instance] = ChangeKind.REMOVED
    return kinds


def _kind(snapshot: Snapshot, generation: Generation, instance: str) -> ChangeKind:
    """SAME needs proof: what is wanted now must also be what once succeeded, else its health is waited for."""
    new, now, good = generation.instances[instance], snapshot.wanted_spec(instance), snapshot.good_spec(instance)
    if good is None:
        return ChangeKind.NEW
    if now is None:
        # It was good once and was dropped since: it comes back like a new one.
        return ChangeKind.NEW
    if new.sha256 == now.sha256 == good.sha256:
        return ChangeKind.SAME
    return ChangeKind.LIVE if new.content_hash == now.content_hash else ChangeKind.CHANGED
