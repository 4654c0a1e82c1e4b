"""A snapshot as rows and back, and the rows in which two snapshots differ; it knows no database.

Rows are written by difference, never event by event, so that what is on disk cannot stray from the snapshot.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from control_plane.deltas import difference
from control_plane.identity.records import IdentityState
from control_plane.liveness.records import LivenessState
from control_plane.state import (
    Generation,
    Missing,
    Placement,
    PlacementReason,
    ReasonCode,
    Resources,
    Snapshot,
    Spec,
    WorkerRecord,
)
from control_plane.store import tables
from control_plane.store.identity_rows import (
    admission_row,
    identity_of,
    join_token_row,
    retired_key_row,
    token_row,
)
from control_plane.store.liveness_rows import cordon_row, eviction_row, lease_row, leases, liveness_of
from control_plane.store.rollout_rows import hold_of, hold_row, rollout_of, rollout_row
from control_plane.store.texts import clean, facts_text, json_text, reason_text, reserved_text
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed
from schema.generation import Publish, PublishHeader
from schema.origin import Origin
from schema.status import WorkerFacts
from schema.vmspec import VmSpec

Row = dict[str, Any]
K = TypeVar("K")
V = TypeVar("V")


Values = tuple[Any, ...]
"""A row in the order of its table's columns."""
AT_ONCE = 2000
"""Rows that are made at a time: all of a large fleet's at once would be the most memory that it ever takes."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows to put, to change (by what they are known by) and to take away; `lost` is what was in the changed ones."""

    fresh: Sequence[Values] = ()
    altered: Sequence[Values] = ()
    lost: Sequence[Values] = ()
    gone: Sequence[Values] = ()


@dataclass(frozen=True, slots=True)
class TableChange:
    """The rows of one table in which two maps differ, by the maps' keys. Rows are made when they are asked for."""

    table: str
    old: Mapping[Any, Any]
    new: Mapping[Any, Any]
    fresh: Sequence[Any]
    altered: Sequence[Any]
    gone: Sequence[Any]
    values: Callable[[Any, Any], Values]

    def slices(self) -> Iterator[Slice]:
        """All of the change, what goes first."""
        for keys in _some(self.gone):
            yield Slice(gone=self._rows(self.old, keys))
        for keys in _some(self.altered):
            pairs = [(self.values(key, self.new[key]), self.values(key, self.old[key])) for key in keys]
            yield Slice(altered=[new for new, _ in pairs], lost=[old for _, old in pairs])
        for keys in _some(self.fresh):
            yield Slice(fresh=self._rows(self.new, keys))

    def _rows(self, source: Mapping[Any, Any], keys: Sequence[Any]) -> list[Values]:
        values = self.values
        return [values(key, source[key]) for key in keys]


def _some(keys: Sequence[K]) -> Iterator[Sequence[K]]:
    return (keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE))


def changes(before: Snapshot | None, after: Snapshot) -> tuple[TableChange, ...]:
    """What to write for `after` over `before` (None: an empty realm). Unchanged maps cost nothing."""
    old, realm = before or Snapshot(epoch=after.epoch, realm=after.realm), after.realm
    changed = partial(_changed, realm=realm)
    found = [
        changed("realms", _origins(old), _origins(after), row=lambda _key, value: {"origin": value}),
        changed("generations", old.generations, after.generations, row=_generation_row),
        changed("vm_specs", _specs(old, beside=after), _specs(after, beside=old), row=_spec_row),
        changed("rollouts", old.rollouts, after.rollouts, row=rollout_row),
        _difference("placements", old.placements, after.placements, values=partial(_placement_values, realm)),
        changed("workers", old.workers, after.workers, row=_worker_row),
        changed("last_good", old.last_good, after.last_good, row=_number_row),
        changed("volume_bindings", old.volume_bindings, after.volume_bindings, row=_binding_row),
        changed("holds", old.holds, after.holds, row=hold_row),
        *_identity_changes(old.identity, after.identity, realm=realm),
        *_liveness_changes(old.liveness, after.liveness, realm=realm),
    ]
    return tuple(change for change in found if change.fresh or change.altered or change.gone)


def _changed(
    table: str, old: Mapping[K, V], new: Mapping[K, V], *, realm: str, row: Callable[[K, V], Row]
) -> TableChange:
    """Its rows are what `row` says, with the realm and what they are known by."""
    keys, columns = tables.keys_of(table)[1:], tables.columns_of(table)

    def values(key: K, value: V) -> Values:
        known_by = key if isinstance(key, tuple) else (key,)
        made = {"realm": realm, **dict(zip(keys, known_by, strict=False)), **row(key, value)}
        return tuple([clean(made[column]) for column in columns])

    return _difference(table, old, new, values=values)


def _difference(table: str, old: Mapping[K, V], new: Mapping[K, V], *, values: Callable[[K, V], Values]) -> TableChange:
    others = difference(old, new)
    fresh = [key for key in others if key not in old]
    altered = [key for key in others if key in old and key in new and old[key] != new[key]]
    gone = [key for key in others if key not in new]
    return TableChange(table, old, new, fresh, altered, gone, values)


def _identity_changes(old: IdentityState, new: IdentityState, *, realm: str) -> Iterable[TableChange]:
    yield _changed("admissions", old.admissions, new.admissions, realm=realm, row=admission_row)
    yield _changed("retired_keys", old.retired_keys, new.retired_keys, realm=realm, row=retired_key_row)
    yield _changed("tokens", old.tokens, new.tokens, realm=realm, row=token_row)
    yield _changed("join_tokens", old.join_tokens, new.join_tokens, realm=realm, row=join_token_row)


def _liveness_changes(old: LivenessState, new: LivenessState, *, realm: str) -> Iterable[TableChange]:
    yield _changed("cordons", old.cordons, new.cordons, realm=realm, row=cordon_row)
    yield _changed("evictions", old.evictions, new.evictions, realm=realm, row=eviction_row)
    yield _changed("leases", leases(old, realm=realm), leases(new, realm=realm), realm=realm, row=lease_row)


def _specs(snapshot: Snapshot, *, beside: Snapshot) -> Mapping[tuple[int, int], bytes]:
    """By generation and position; those of the generations that the other one has not."""
    return {
        (number, position): spec.sealed.data
        for number, generation in snapshot.generations.items()
        if number not in beside.generations
        for position, spec in enumerate(generation.vms.values())
    }


def _spec_row(_key: tuple[int, int], spec: bytes) -> Row:
    return {"spec": spec}


def _origins(snapshot: Snapshot) -> Mapping[str, str]:
    origin = snapshot.origin
    return {snapshot.realm: json_text(origin.model_dump(mode="json", by_alias=True))} if origin else {}


def _generation_row(_number: int, generation: Generation) -> Row:
    return {
        "header": json_text(generation.header.model_dump(mode="json", by_alias=True)),
        "rollout": generation.rollout.data,
        "published_at_ms": generation.published_at_ms,
    }


def _placement_values(realm: str, instance: str, placement: Placement) -> Values:
    """In the order of the columns: a change of generation writes each of tens of thousands."""
    return (
        realm,
        instance,
        placement.generation,
        placement.worker_id,
        placement.address,
        reserved_text(placement.reserved),
        placement.leaving,
        placement.revision,
        reason_text(placement.reason),
        placement.attempt,
    )


def _worker_row(_worker_id: str, worker: WorkerRecord) -> Row:
    return {
        "facts": facts_text(worker.facts),
        "subnet": worker.subnet,
        "revision": worker.revision,
    }


def _number_row(_instance: str, generation: int) -> Row:
    return {"generation": generation}


def _binding_row(_instance: str, worker_id: str) -> Row:
    return {"worker_id": worker_id}


def snapshot_of(*, epoch: str, realm: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Snapshot:
    """The snapshot that `rows` (of one realm, by table) hold.

    Raises InvalidInput or HashMismatch where a row is not what was written: nothing is served from a damaged database.
    """
    specs: dict[int, list[tuple[int, bytes]]] = {}
    for row in rows["vm_specs"]:
        specs.setdefault(row["number"], []).append((row["position"], row["spec"]))
    origins = [Origin.model_validate_json(row["origin"]) for row in rows["realms"]]
    generations = {
        row["number"]: _generation(row, [data for _, data in sorted(specs.get(row["number"], ()))])
        for row in rows["generations"]
    }
    return Snapshot(
        epoch=epoch,
        realm=realm,
        origin=origins[0] if origins else None,
        generations=generations,
        rollouts={row["generation"]: rollout_of(row, generations) for row in rows["rollouts"]},
        placements={row["instance"]: _placement(row) for row in rows["placements"]},
        workers={row["worker_id"]: _worker(row) for row in rows["workers"]},
        last_good={row["instance"]: row["generation"] for row in rows["last_good"]},
        volume_bindings={row["instance"]: row["worker_id"] for row in rows["volume_bindings"]},
        holds={row["id"]: hold_of(row) for row in rows["holds"]},
        identity=identity_of(rows),
        liveness=liveness_of(rows),
    )


def _generation(row: Mapping[str, Any], specs: Iterable[bytes]) -> Generation:
    publish = Publish(
        header=PublishHeader.model_validate_json(row["header"]),
        vm_specs=tuple(Sealed.parse(VmSpec, data) for data in specs),
        rollout=Sealed.parse(RolloutPolicy, row["rollout"]),
    )
    return Generation(
        header=publish.header,
        intent=publish.check_content(),
        rollout=publish.rollout,
        vms={spec.value.name: Spec.of(spec) for spec in publish.vm_specs},
        published_at_ms=row["published_at_ms"],
    )


def _placement(row: Mapping[str, Any]) -> Placement:
    reserved, reason = json.loads(row["reserved"]), json.loads(row["reason"])
    return Placement(
        instance=row["instance"],
        generation=row["generation"],
        worker_id=row["worker_id"],
        address=row["address"],
        reserved=_resources(reserved),
        leaving=bool(row["leaving"]),
        revision=row["revision"],
        reason=PlacementReason(
            ReasonCode(reason["code"]), reason["text"], tuple(Missing(*missing) for missing in reason["missing"])
        ),
        attempt=row["attempt"],
    )


def _resources(reserved: Mapping[str, Any]) -> Resources:
    extras = tuple(sorted(reserved["extras"].items()))
    return Resources(reserved["cpu"], reserved["memoryMb"], extras, reserved.get("diskMb", 0))


def _worker(row: Mapping[str, Any]) -> WorkerRecord:
    return WorkerRecord(
        worker_id=row["worker_id"],
        facts=WorkerFacts.model_validate_json(row["facts"]),
        subnet=row["subnet"],
        revision=row["revision"],
    )
