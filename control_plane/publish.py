"""Whether a publish is accepted: its checks in order, on values; it stores and announces nothing."""

from collections.abc import Sequence

from control_plane.events import GenerationPublished
from control_plane.state import Generation, Snapshot, Spec
from schema.errors import Conflict, NotFound, Stale, WrongOrigin
from schema.generation import Publish, PublishReceipt
from schema.signing import PublicKey, check_signature


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

    Raises WrongOrigin, Conflict (same number, another hash) and Stale (a lower number than is known).
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
    return (GenerationPublished(generation),)


def receipt(generation: Generation, *, created: bool) -> PublishReceipt:
    """The answer to an accepted publish."""
    return PublishReceipt(generation.number, generation.header.intent_hash, created)
