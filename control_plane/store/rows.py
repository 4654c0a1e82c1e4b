"""A snapshot as rows and back, and the rows in which two snapshots differ; it knows no database.

Rows are written by difference, never event by event, so that what is on disk cannot stray from the snapshot.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
from control_plane.store.identity_rows import (
    admission_row,
    identity_of,
    join_token_row,
    retired_key_row,
    token_row,
)
from control_plane.store.liveness_rows import cordon_row, eviction_row, lease_row, leases, liveness_of
from control_plane.store.rollout_rows import hold_of, hold_row, rollout_of, rollout_row
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed, canonical_bytes
from schema.generation import Publish, PublishHeader
from schema.names import printable
from schema.origin import Origin
from schema.status import WorkerFacts
from schema.vmspec import VmSpec

Row = dict[str, Any]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class TableChange:
    """Rows of one table to take away (by the columns that they are known by) and rows to put in their place.

    `lost` are those that are taken away, whole.
    """

    table: str
    gone: tuple[Row, ...]
    rows: tuple[Row, ...]
    lost: tuple[Row, ...] = ()


def changes(before: Snapshot | None, after: Snapshot) -> tuple[TableChange, ...]:
    """What to write for `after` over `before` (None: an empty realm). Unchanged maps cost nothing."""
    old = before or Snapshot(epoch=after.epoch, realm=after.realm)
    found = [
        _changed("realms", _origins(old), _origins(after), key="realm", row=lambda _key, value: {"origin": value}),
        _changed("generations", old.generations, after.generations, key="number", row=_generation_row),
        _changed("rollouts", old.rollouts, after.rollouts, key="generation", row=rollout_row),
        _changed("placements", old.placements, after.placements, key="instance", row=_placement_row),
        _changed("workers", old.workers, after.workers, key="worker_id", row=_worker_row),
        _changed("last_good", old.last_good, after.last_good, key="instance", row=_number_row),
        _changed("volume_bindings", old.volume_bindings, after.volume_bindings, key="instance", row=_binding_row),
        _changed("holds", old.holds, after.holds, key="id", row=hold_row),
        *_identity_changes(old.identity, after.identity),
        *_liveness_changes(old.liveness, after.liveness, realm=after.realm),
        _spec_changes(old, after),
    ]
    realm = after.realm
    return tuple(_in_realm(realm, change) for change in found if change.gone or change.rows)


def _changed(
    table: str, old: Mapping[K, V], new: Mapping[K, V], *, key: str, row: Callable[[K, V], Row]
) -> TableChange:
    if old is new:
        return TableChange(table, (), ())
    others = difference(old, new)
    put = {name: new[name] for name in others if name in new and old.get(name) != new[name]}
    gone = [name for name in others if name in old and (name in put or name not in new)]
    rows = tuple({key: name, **row(name, value)} for name, value in put.items())
    lost = tuple({key: name, **row(name, old[name])} for name in gone)
    return TableChange(table, tuple({key: name} for name in gone), rows, lost)


def _identity_changes(old: IdentityState, new: IdentityState) -> Iterable[TableChange]:
    yield _changed("admissions", old.admissions, new.admissions, key="worker_id", row=admission_row)
    yield _changed("retired_keys", old.retired_keys, new.retired_keys, key="fingerprint", row=retired_key_row)
    yield _changed("tokens", old.tokens, new.tokens, key="name", row=token_row)
    yield _changed("join_tokens", old.join_tokens, new.join_tokens, key="sha256", row=join_token_row)


def _liveness_changes(old: LivenessState, new: LivenessState, *, realm: str) -> Iterable[TableChange]:
    yield _changed("cordons", old.cordons, new.cordons, key="worker_id", row=cordon_row)
    yield _changed("evictions", old.evictions, new.evictions, key="worker_id", row=eviction_row)
    yield _changed("leases", leases(old, realm=realm), leases(new, realm=realm), key="realm", row=lease_row)


def _spec_changes(old: Snapshot, new: Snapshot) -> TableChange:
    gone = tuple({"number": number} for number in old.generations if number not in new.generations)
    return TableChange("vm_specs", gone, _spec_rows(new, beside=old), _spec_rows(old, beside=new))


def _spec_rows(snapshot: Snapshot, *, beside: Snapshot) -> tuple[Row, ...]:
    """Those of the generations that the other one has not."""
    return tuple(
        {"number": number, "position": position, "spec": spec.sealed.data}
        for number, generation in snapshot.generations.items()
        if number not in beside.generations
        for position, spec in enumerate(generation.vms.values())
    )


def _in_realm(realm: str, change: TableChange) -> TableChange:
    return TableChange(
        change.table,
        tuple({"realm": realm, **row} for row in change.gone),
        tuple(_whole(realm, row) for row in change.rows),
        tuple(_whole(realm, row) for row in change.lost),
    )


def _whole(realm: str, row: Row) -> Row:
    return {"realm": realm, **{name: _clean(value) for name, value in row.items()}}


def _clean(value: Any) -> Any:
    """Text as every database can hold it: workers' reasons may have zeros and halves of surrogate pairs."""
    return printable(value) if isinstance(value, str) and not value.isprintable() else value


def _json(value: Any) -> str:
    return canonical_bytes(value).decode()


def _origins(snapshot: Snapshot) -> Mapping[str, str]:
    origin = snapshot.origin
    return {snapshot.realm: _json(origin.model_dump(mode="json", by_alias=True))} if origin else {}


def _generation_row(_number: int, generation: Generation) -> Row:
    return {
        "header": _json(generation.header.model_dump(mode="json", by_alias=True)),
        "rollout": generation.rollout.data,
        "published_at_ms": generation.published_at_ms,
    }


def _placement_row(_instance: str, placement: Placement) -> Row:
    return {
        "generation": placement.generation,
        "worker_id": placement.worker_id,
        "address": placement.address,
        "reserved": _reserved_text(placement.reserved),
        "leaving": placement.leaving,
        "revision": placement.revision,
        "reason": _reason_text(placement.reason),
        "attempt": placement.attempt,
    }


# A change of generation writes each of tens of thousands of placements, and most have these in common.


@lru_cache(maxsize=2048)
def _reserved_text(reserved: Resources) -> str:
    amounts = {"cpu": reserved.cpu, "memoryMb": reserved.memory_mb, "diskMb": reserved.disk_mb}
    return _json({**amounts, "extras": dict(reserved.extras)})


@lru_cache(maxsize=2048)
def _reason_text(reason: PlacementReason) -> str:
    missing = [[one.worker_id, one.what, one.needed, one.free, one.workers] for one in reason.missing]
    return _json({"code": reason.code.value, "text": reason.text, "missing": missing})


def _worker_row(_worker_id: str, worker: WorkerRecord) -> Row:
    return {
        "facts": _json(worker.facts.model_dump(mode="json", by_alias=True)),
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
