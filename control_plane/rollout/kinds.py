"""What a generation means for each instance: new, changed, in live fields only, same, removed or held; no order."""

from collections.abc import Mapping

from control_plane.state import NOTHING, ChangeKind, Generation, HoldRecord, Snapshot


def kinds_of(snapshot: Snapshot, generation: Generation) -> Mapping[str, ChangeKind]:
    """The kind of each instance of `generation`, and of each that it drops, against what is wanted in `snapshot`."""
    holds = {vm: hold for hold in snapshot.holds.values() for vm in hold.against}
    kinds = {}
    for vm, spec in generation.vms.items():
        hold = holds.get(vm)
        stays = hold is not None and not replaces(generation, vm, hold)
        for instance in spec.value.instances:
            kinds[instance] = ChangeKind.HELD if stays else _kind(snapshot, generation, instance)
    for instance, placement in snapshot.placements.items():
        if instance not in kinds and placement.generation != NOTHING:
            hold = holds.get(placement.vm)
            stays = hold is not None and not replaces(generation, placement.vm, hold)
            kinds[instance] = ChangeKind.HELD if stays else ChangeKind.REMOVED
    return kinds


def replaces(generation: Generation, vm: str, hold: HoldRecord) -> bool:
    """Whether `generation` brings another content for a held VM than it was held against: then it is tried."""
    spec = generation.vms.get(vm)
    return spec is not None and spec.content_hash != hold.against[vm]


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
