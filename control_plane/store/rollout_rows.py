"""Rollouts and holds as rows and back, for `rows.py`; it knows no database and no difference."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from control_plane.rollout.waves import waves_of
from control_plane.state import ChangeKind, Generation, HoldRecord, Rollout, WaveProgress
from schema.blueprint import Gate
from schema.canonical import canonical_bytes
from schema.status import RolloutState

Row = dict[str, Any]
T = TypeVar("T")


def rollout_row(_number: int, rollout: Rollout) -> Row:
    """A row of `rollouts`, without its key."""
    return {
        "state": rollout.state.value,
        "reason": rollout.reason,
        "kinds": _kinds(rollout.kinds),
        "placed_ms": rollout.placed_ms,
        "waves": "[" + ",".join(map(_wave_text, rollout.waves)) + "]",
        "failed": _text(dict(rollout.failed)),
        "actor": rollout.actor,
        "started_ms": rollout.started_ms,
        "ended_ms": rollout.ended_ms,
    }


def _wave_text(wave: WaveProgress) -> str:
    progress = {
        "delayMs": wave.delay_ms,
        "gate": wave.gate.value,
        "openedMs": wave.opened_ms,
        "finishedMs": wave.finished_ms,
        "promotedBy": wave.promoted_by,
    }
    return f'{{"instances":{_instances(wave.instances)},{_text(progress)[1:]}'


class _Recent(Generic[T]):
    """The texts of the values that were written last. A rollout names its whole fleet in each step that it takes."""

    def __init__(self, write: Callable[[T], str]) -> None:
        self._write = write
        self._known: deque[tuple[T, str]] = deque(maxlen=4)

    def __call__(self, value: T) -> str:
        for known, text in self._known:
            if known is value:
                return text
        text = self._write(value)
        self._known.append((value, text))
        return text


def hold_row(_id: str, hold: HoldRecord) -> Row:
    """A row of `holds`, without its key."""
    return {
        "generation": hold.generation,
        "against": _text(dict(hold.against)),
        "reason": hold.reason,
        "actor": hold.actor,
        "created_at_ms": hold.created_at_ms,
    }


def rollout_of(row: Mapping[str, Any], generations: Mapping[int, Generation]) -> Rollout:
    """The rollout that a row of `rollouts` holds, of one of `generations`."""
    rollout = Rollout(
        generation=row["generation"],
        state=RolloutState(row["state"]),
        reason=row["reason"],
        kinds={instance: ChangeKind(kind) for instance, kind in json.loads(row["kinds"]).items()},
        placed_ms=row["placed_ms"],
        waves=tuple(_wave(wave) for wave in json.loads(row["waves"])),
        failed=json.loads(row["failed"]),
        actor=row["actor"],
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
    )
    if rollout.waves or rollout.state.is_outcome:
        return rollout
    # It began under a program that knew no waves: without them it would be over with nothing done.
    return replace(rollout, waves=waves_of(generations[rollout.generation], rollout.kinds))


def _wave(wave: Mapping[str, Any]) -> WaveProgress:
    return WaveProgress(
        instances=tuple(wave["instances"]),
        delay_ms=wave["delayMs"],
        gate=Gate(wave["gate"]),
        opened_ms=wave["openedMs"],
        finished_ms=wave["finishedMs"],
        promoted_by=wave["promotedBy"],
    )


def hold_of(row: Mapping[str, Any]) -> HoldRecord:
    """The hold that a row of `holds` holds."""
    return HoldRecord(
        id=row["id"],
        generation=row["generation"],
        against=json.loads(row["against"]),
        reason=row["reason"],
        actor=row["actor"],
        created_at_ms=row["created_at_ms"],
    )


def _text(value: Any) -> str:
    return canonical_bytes(value).decode()


_kinds = _Recent[Mapping[str, ChangeKind]](lambda kinds: _text({name: kind.value for name, kind in kinds.items()}))
_instances = _Recent[tuple[str, ...]](lambda instances: _text(list(instances)))
