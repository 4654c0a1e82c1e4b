"""The waves of a rollout: who is in which, what keeps one from opening, and each instance's jitter; it opens none.

Waves divide the instances whose health a rollout waits for: the new and the changed ones, in the order of their
dependencies, so that replicas of one VM stay in order. A wave takes what its selector matches, or its percentage of all
that the rollout changes (rounded up), from what the waves before it left. What none of them takes is a last wave, which
follows by itself. A wave with nothing in it is left out, with its gate.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.rollout.order import dependency_order
from control_plane.state import ChangeKind, Generation, Rollout, WaveProgress
from schema.blueprint import Gate, Wave


def waves_of(generation: Generation, kinds: Mapping[str, ChangeKind]) -> tuple[WaveProgress, ...]:
    """The waves of `generation`, none of them open."""
    gated = [instance for instance in dependency_order(generation) if kinds[instance].is_gated]
    left, found = gated, []
    for wave in generation.rollout.value.waves:
        taken = frozenset(_taken(generation, wave, left, of=len(gated)))
        instances = tuple(instance for instance in left if instance in taken)
        left = [instance for instance in left if instance not in taken]
        if instances:
            found.append(WaveProgress(instances, delay_ms=wave.delay_ms, gate=wave.gate))
    return (*found, WaveProgress(tuple(left))) if left else tuple(found)


def _taken(generation: Generation, wave: Wave, left: list[str], *, of: int) -> list[str]:
    if wave.percent is not None:
        return left[: -(-of * wave.percent // 100)]
    wanted = (wave.selector or {}).items()
    return [name for name in left if all(generation.instances[name].value.labels.get(k) == v for k, v in wanted)]


def joining_wave(generation: Generation, instances: tuple[str, ...]) -> WaveProgress:
    """A wave for what joins a rollout on its way; it needs approval where any wave of the generation does."""
    gates = {wave.gate for wave in generation.rollout.value.waves}
    return WaveProgress(instances, gate=Gate.APPROVE if Gate.APPROVE in gates else Gate.AUTO)


def unfinished(rollout: Rollout) -> int | None:
    """The index of the first wave that has not finished, None when all have."""
    return next((index for index, wave in enumerate(rollout.waves) if wave.finished_ms is None), None)


@dataclass(frozen=True, slots=True)
class Holdup:
    """Why a wave does not open now. `remaining_ms`: when it will by itself, None when only something else opens it."""

    reason: str
    remaining_ms: int | None = None


def holdup(rollout: Rollout, index: int, *, wall_ms: int) -> Holdup | None:
    """What keeps the wave at `index` from opening, None when it may. An operator's promotion outranks its delay."""
    wave = rollout.waves[index]
    name = f"wave {index + 1} of {len(rollout.waves)}"
    if index and rollout.waves[index - 1].finished_ms is None:
        return Holdup(f"wave {index} has not finished")
    if wave.promoted_by:
        return None
    if wave.gate is Gate.APPROVE:
        return Holdup(f"waiting for approval of {name}")
    began_ms = rollout.waves[index - 1].finished_ms if index else rollout.started_ms
    remaining_ms = wave.delay_ms - max(wall_ms - (began_ms or 0), 0) if wave.delay_ms else 0
    return Holdup(f"{name} opens in {-(-remaining_ms // 1000)} s", remaining_ms) if remaining_ms > 0 else None


def set_back(rollout: Rollout, index: int, *, wall_ms: int) -> bool:
    """Whether the wave before the one at `index` has finished in the future: the wall clock was set back since then.

    That moment is then written anew, or the delay would last as much longer as the clock was set back.
    """
    return index > 0 and (rollout.waves[index - 1].finished_ms or 0) > wall_ms


def waits_for_approval(rollout: Rollout) -> int | None:
    """The index of the wave that only an approval opens now."""
    index = unfinished(rollout)
    if index is None or rollout.waves[index].opened_ms is not None:
        return None
    wave = rollout.waves[index]
    return index if wave.gate is Gate.APPROVE and not wave.promoted_by else None


def due_in_ms(generation: Generation, wave: WaveProgress, instance: str, *, wall_ms: int) -> int:
    """How long `instance` still waits in its open wave by jitter; 0 or below: it is due.

    The jitter is drawn from the instance and the generation's hash, so it is the same after a restart. A wall clock
    that was set back to before the wave opened makes all of it due.
    """
    most = generation.rollout.value.jitter_ms
    if not most or wave.opened_ms is None or wall_ms < wave.opened_ms:
        return 0
    return wave.opened_ms + jitter_ms(instance, generation.header.intent_hash, most=most) - wall_ms


def jitter_ms(instance: str, intent_hash: str, *, most: int) -> int:
    """From 0 to `most` milliseconds, evenly spread over the instances."""
    digest = hashlib.sha256(f"{intent_hash}/{instance}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (most + 1)
