"""What operators order about workers and volumes, as changes of the state; who may order it is checked before."""

from collections.abc import Iterator
from dataclasses import replace

from control_plane.audit import AuditDraft
from control_plane.liveness.changes import LivenessEvent, VolumeReleased, WorkerCordoned, WorkerUncordoned
from control_plane.liveness.eviction import is_bound
from control_plane.liveness.records import Cordon
from control_plane.naming import unknown_instance, unknown_worker
from control_plane.state import NOTHING, Placement, PlacementReason, ReasonCode, Snapshot
from schema.blueprint import OnLoss
from schema.errors import Conflict, NotFound
from schema.interfaces import Identity
from schema.names import printable

MOST_REASON = 500
"""Characters of a reason that are kept."""


def cordon(
    snapshot: Snapshot, worker_id: str, *, cordoned: bool, reason: str, actor: str, wall_ms: int
) -> tuple[LivenessEvent, ...]:
    """Take a worker out of placement, or put it back; nothing where it is so already. A drain goes on. NotFound."""
    _check_worker(snapshot, worker_id)
    known = snapshot.liveness.cordons.get(worker_id)
    if not cordoned:
        return (WorkerUncordoned(worker_id),) if known else ()
    text = _kept(reason)
    if known is not None:
        return (WorkerCordoned(replace(known, reason=text, actor=actor)),) if text not in ("", known.reason) else ()
    return (WorkerCordoned(Cordon(worker_id, reason=text, actor=actor, since_ms=wall_ms)),)


def drain(
    snapshot: Snapshot, worker_id: str, *, deadline_ms: int, reason: str, actor: str, wall_ms: int
) -> tuple[LivenessEvent, ...]:
    """Let everything on a worker go elsewhere, within `deadline_ms` from now (0: as long as it needs). NotFound.

    Asked again it is a new order, with a new deadline.
    """
    _check_worker(snapshot, worker_id)
    until_ms = wall_ms + deadline_ms if deadline_ms else 0
    order = Cordon(worker_id, draining=True, reason=_kept(reason), actor=actor, since_ms=wall_ms, until_ms=until_ms)
    known = snapshot.liveness.cordons.get(worker_id)
    same = known is not None and replace(known, since_ms=wall_ms) == order
    return () if same else (WorkerCordoned(order),)


def release(snapshot: Snapshot, instance: str, *, volume: str) -> tuple[LivenessEvent, ...]:
    """Give up what an instance keeps on its worker. Raises NotFound, and Conflict where that alone frees nothing.

    From a living worker it still leaves only by that worker's word that it has stopped.
    """
    placement = snapshot.placements.get(instance)
    spec = snapshot.wanted_spec(instance)
    if placement is None or spec is None:
        raise unknown_instance(snapshot, instance)
    if volume and volume not in spec.value.volumes:
        raise NotFound(f"{instance} has no volume {printable(volume)!r}")
    if not is_bound(snapshot, placement):
        raise Conflict(f"{instance} is not bound to a worker by a volume")
    kept = {name for name, one in spec.value.volumes.items() if one.on_loss is OnLoss.KEEP}
    others = sorted(kept - {volume}) if volume else []
    if others:
        raise Conflict(f"{instance} is bound by {', '.join(others)} too: release all of its volumes")
    return (VolumeReleased(instance),)


def overdue(snapshot: Snapshot, *, wall_ms: int) -> Iterator[Placement]:
    """What a drain has left on its worker until its deadline leaves now, whether there is a place for it or not."""
    for order in snapshot.liveness.cordons.values():
        if not (order.draining and order.until_ms and wall_ms >= order.until_ms):
            continue
        for placement in snapshot.placed_on(order.worker_id):
            if placement.is_assigned and placement.generation != NOTHING:
                text = f"{order.worker_id} had to be empty by now" + (f": {order.reason}" if order.reason else "")
                yield replace(placement, leaving=True, reason=PlacementReason(ReasonCode.DRAINED, text))


def _check_worker(snapshot: Snapshot, worker_id: str) -> None:
    if worker_id not in snapshot.workers:
        raise unknown_worker(snapshot, worker_id)


def _kept(reason: str) -> str:
    return printable(reason)[:MOST_REASON]


def order_audit(before: Snapshot, after: Snapshot, *, actor: Identity, action: str, worker_id: str) -> AuditDraft:
    """What is written of an order about a worker."""
    old, new = (_told(snapshot.liveness.cordons.get(worker_id)) for snapshot in (before, after))
    return AuditDraft.by(actor, action, subject=worker_id, old=old, new=new)


def release_audit(before: Snapshot, after: Snapshot, *, actor: Identity, instance: str, volume: str) -> AuditDraft:
    """What is written of a volume that was given up."""
    old, new = (snapshot.volume_bindings.get(instance, "") for snapshot in (before, after))
    subject = f"{instance}/{printable(volume)}" if volume else instance
    return AuditDraft.by(actor, "releaseVolume", subject=subject, old=old, new=new)


def _told(known: Cordon | None) -> str:
    if known is None:
        return ""
    words = ("draining" if known.draining else "cordoned") + (
        f" within {(known.until_ms - known.since_ms) / 1000:g} s" if known.until_ms else ""
    )
    return words + (f": {known.reason}" if known.reason else "")
