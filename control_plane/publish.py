"""Whether a publish is accepted: its checks in order, on values; it stores and announces nothing."""

from collections.abc import Sequence

from control_plane.audit import AuditDraft
from control_plane.events import GenerationPublished
from control_plane.state import NOTHING, Generation, Snapshot, Spec
from schema.errors import Conflict, InvalidInput, NotFound, Stale, WrongOrigin
from schema.generation import Publish, PublishHeader, PublishReceipt
from schema.interfaces import Identity
from schema.signing import PublicKey, check_signature
from schema.status import RolloutState

SMALL = 2
"""Up to so many VMs, a generation may replace all of them by others."""


def check_publish(publish: Publish, *, realm: str, publishers: Sequence[PublicKey], published_at_ms: int) -> Generation:
    """The generation that `publish` carries, after the checks that need no state: realm, signature, content.

    Raises NotFound (another realm), BadSignature, HashMismatch (naming the right hash) and InvalidInput. Slow for many
    VMs (a hash each), so it is run beside the main loop.
    """
    header = publish.header
    if header.realm != realm:
        raise NotFound(f"there is no realm {header.realm!r} here; this control plane has {realm!r}")
    what = f"generation {header.number}"
    check_signature(message=header.message, signature=header.signature, keys=publishers, what=what)
    intent = publish.check_content()
    return Generation(
        header=header,
        intent=intent,
        rollout=publish.rollout,
        vms={spec.value.name: Spec.of(spec) for spec in publish.vm_specs},
        published_at_ms=published_at_ms,
    )


def accept(snapshot: Snapshot, generation: Generation) -> tuple[GenerationPublished, ...]:
    """The event that `generation` becomes; none when it is there already with the same hash (DESIGN §4).

    Raises WrongOrigin, Conflict (same number, another hash), Stale (a lower number than is known) and InvalidInput (it
    would empty or more than halve the cluster, and does not say that it means to).
    """
    header, newest = generation.header, snapshot.newest
    if snapshot.origin is not None and header.origin != snapshot.origin:
        raise WrongOrigin(f"realm {snapshot.realm!r} tracks {snapshot.origin}; this is from {header.origin}")
    known = snapshot.generations.get(header.number)
    if known is not None:
        if known.header.intent_hash == header.intent_hash:
            return ()
        raise Conflict(
            f"generation {header.number} is already known with intentHash {known.header.intent_hash}, "
            f"and this has {header.intent_hash}"
        )
    if newest is not None and header.number < newest.number:
        raise Stale(f"generation {header.number} is older than {newest.number}, which is known")
    if not generation.rollout.value.allow_shrink:
        _check_size(snapshot, generation)
    return (GenerationPublished(generation),)


def _check_size(snapshot: Snapshot, generation: Generation) -> None:
    """An empty cluster, or the loss of more than half of it, is more often a mistake than a wish (decision 0055).

    What could be lost is what runs or is to run, replicas counted one by one. Where there are two VMs at most, losing
    "more than half" is everyday, so only losing all is refused; where there is none, nothing can be lost.
    """
    wanted = {name for name, placement in snapshot.placements.items() if placement.generation != NOTHING}
    if snapshot.newest is not None and not _went_back(snapshot):
        wanted |= set(snapshot.newest.instances)
    lost = len(wanted.difference(generation.instances))
    left = len(generation.instances)
    if not wanted or (left and (len(wanted) <= SMALL or 2 * lost <= len(wanted))):
        return
    what = "no VM at all" if not left else f"{left} VMs"
    raise InvalidInput(
        f"generation {generation.number} has {what} and would remove {lost} of the {len(wanted)} VMs that there are; "
        f"if that is meant, say rollout.allowShrink = true in the blueprint and publish again"
    )


def _went_back(snapshot: Snapshot) -> bool:
    rollout = snapshot.rollout
    return rollout is not None and rollout.state in (RolloutState.ROLLED_BACK, RolloutState.FAILED)


def receipt(generation: Generation, *, created: bool) -> PublishReceipt:
    """The answer to an accepted publish."""
    return PublishReceipt(generation.number, generation.header.intent_hash, created)


def publish_audit(before: Snapshot, _after: Snapshot, *, header: PublishHeader, identity: Identity) -> AuditDraft:
    """What the audit says of a publish: what was newest before it, and what it brings."""
    newest = before.newest
    old = f"generation {newest.number} of {newest.header.commit}" if newest else ""
    new = f"commit {header.commit} of {header.origin}, intentHash {header.intent_hash}"
    return AuditDraft.by(identity, "publishState", subject=f"generation {header.number}", old=old, new=new)
