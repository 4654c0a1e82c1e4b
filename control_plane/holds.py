"""Whether VMs may be held at an earlier generation, and whether a hold may be lifted; it stores and audits nothing."""

import hashlib
from collections.abc import Sequence

from control_plane.audit import AuditDraft
from control_plane.rollout.changes import HoldLifted, HoldPlaced
from control_plane.rollout.commands import in_words
from control_plane.state import Generation, HoldRecord, Snapshot
from schema.canonical import canonical_bytes
from schema.errors import Conflict, NotFound
from schema.interfaces import Identity
from schema.operations import Hold


def decide_hold(
    snapshot: Snapshot, *, vms: Sequence[str], generation: int, reason: str, actor: str, wall_ms: int
) -> tuple[HoldPlaced, ...]:
    """Pin `vms` (none: all that the generation has) to `generation`, an earlier one than the newest.

    VMs that are held already are held by this one from now on. Raises InvalidInput (the reason), NotFound (a generation
    that never was, or a VM that it does not have) and Conflict (the newest one, or one that is not kept any more; then
    it names those that are).
    """
    why = in_words(reason)
    target = _kept(snapshot, generation)
    unknown = sorted(set(vms) - set(target.vms))
    if unknown:
        raise NotFound(f"generation {generation} has no VM {', '.join(repr(vm) for vm in unknown)}")
    newest = snapshot.newest
    now = newest.vms if newest else {}
    pinned = sorted(set(vms)) or sorted(target.vms)
    if not pinned:
        raise Conflict(f"generation {generation} has no VMs that could be held")
    against = {vm: now[vm].content_hash if vm in now else "" for vm in pinned}
    hold = HoldRecord(
        id=_new_id(snapshot, generation, against, wall_ms=wall_ms),
        generation=generation,
        against=against,
        reason=why,
        actor=actor,
        created_at_ms=wall_ms,
    )
    return (HoldPlaced(hold),)


def decide_lift(snapshot: Snapshot, hold_id: str, *, wall_ms: int) -> tuple[HoldLifted, ...]:
    """End a hold: its VMs follow the newest generation again. Raises NotFound."""
    if hold_id not in snapshot.holds:
        known = ", ".join(sorted(snapshot.holds)) or "none"
        raise NotFound(f"there is no hold {hold_id!r}; in force: {known}")
    return (HoldLifted(hold_id, wall_ms),)


def told(hold: HoldRecord) -> Hold:
    """The hold as people see it."""
    return Hold(
        id=hold.id,
        vms=hold.vms,
        generation=hold.generation,
        reason=hold.reason,
        actor=hold.actor,
        created_at_ms=hold.created_at_ms,
    )


def list_holds(snapshot: Snapshot) -> tuple[Hold, ...]:
    """Those in force, the oldest first."""
    return tuple(told(hold) for hold in sorted(snapshot.holds.values(), key=lambda one: (one.created_at_ms, one.id)))


def hold_audit(before: Snapshot, after: Snapshot, *, identity: Identity, vms: tuple[str, ...]) -> AuditDraft:
    """What is written of a hold: the holds that its VMs were in before, and the new one."""
    new = [hold for name, hold in after.holds.items() if name not in before.holds]
    held = {vm for hold in new for vm in hold.against}
    old = [hold for hold in before.holds.values() if not held.isdisjoint(hold.against)]
    subject = ", ".join(vms) or "all VMs"
    return AuditDraft.by(identity, "hold", subject=subject, old=_in_short(old), new=_in_short(new))


def lift_audit(before: Snapshot, after: Snapshot, *, identity: Identity, hold_id: str) -> AuditDraft:
    """What is written of a hold that is lifted."""
    old, new = ([snapshot.holds[hold_id]] if hold_id in snapshot.holds else [] for snapshot in (before, after))
    return AuditDraft.by(identity, "liftHold", subject=hold_id, old=_in_short(old), new=_in_short(new))


def _in_short(holds: Sequence[HoldRecord]) -> str:
    return "; ".join(
        f"{hold.id}: {', '.join(hold.vms)} at generation {hold.generation}"
        + (f": {hold.reason}" if hold.reason else "")
        for hold in holds
    )


def _kept(snapshot: Snapshot, number: int) -> Generation:
    newest = snapshot.newest
    if newest is None:
        raise NotFound(f"there is no generation {number}: nothing has been published yet")
    if number > newest.number or number < 1:
        raise NotFound(f"there is no generation {number}; the newest is {newest.number}")
    if number == newest.number:
        raise Conflict(f"generation {number} is the newest; a hold pins to an earlier one")
    found = snapshot.generations.get(number)
    if found is None:
        kept = ", ".join(str(one) for one in sorted(snapshot.generations) if one != newest.number)
        raise Conflict(
            f"the closures of generation {number} are not kept any more; kept are {kept or 'none before it'}"
        )
    return found


def _new_id(snapshot: Snapshot, generation: int, against: dict[str, str], *, wall_ms: int) -> str:
    """Eight hexadecimal digits, drawn from what the hold is; others where a hold has them already."""
    for salt in range(len(snapshot.holds) + 1):
        text = canonical_bytes([snapshot.epoch, generation, against, wall_ms, salt])
        found = hashlib.sha256(text).hexdigest()[:8]
        if found not in snapshot.holds:
            break
    return found
