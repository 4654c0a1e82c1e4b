"""The kept generations as people see them, listed and whole; it compares none (`schema.generation_diff` does)."""

from control_plane.state import Generation, Snapshot
from schema.errors import NotFound
from schema.operations import GenerationContent
from schema.status import GenerationStatus


def generation_status(snapshot: Snapshot, generation: Generation) -> GenerationStatus:
    """A generation with how its rollout went."""
    header, rollout = generation.header, snapshot.rollouts[generation.number]
    return GenerationStatus(
        number=header.number,
        commit=header.commit,
        origin=header.origin,
        intent_hash=header.intent_hash,
        published_at_ms=generation.published_at_ms,
        state=rollout.state,
        reason=rollout.reason,
        placed_ms=rollout.placed_ms,
    )


def list_generations(snapshot: Snapshot, *, limit: int, before: int) -> tuple[GenerationStatus, ...]:
    """The newest first: at most `limit`, only numbers below `before` (0: all)."""
    numbers = sorted((number for number in snapshot.generations if not before or number < before), reverse=True)
    return tuple(generation_status(snapshot, snapshot.generations[number]) for number in numbers[:limit])


def generation_content(snapshot: Snapshot, number: int) -> GenerationContent:
    """One generation as it was published. Raises NotFound, naming those that are kept."""
    generation = snapshot.generations.get(number)
    if generation is None:
        kept = ", ".join(str(one) for one in sorted(snapshot.generations)) or "none"
        raise NotFound(f"there is no generation {number} any more, or not yet; kept are {kept}")
    return GenerationContent(
        status=generation_status(snapshot, generation),
        specs={vm: spec.sealed.text for vm, spec in generation.vms.items()},
        content={vm: spec.content_hash for vm, spec in generation.vms.items()},
        rollout=generation.rollout.text,
    )
