"""What is kept of workers' lives as rows and back, for `rows.py`; it knows no database and no difference."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.liveness.records import Cordon, Eviction, LivenessState
from schema.canonical import canonical_bytes

Row = dict[str, Any]


def cordon_row(_worker_id: str, cordon: Cordon) -> Row:
    """A row of `cordons`, without its key."""
    return {
        "draining": cordon.draining,
        "reason": cordon.reason,
        "actor": cordon.actor,
        "since_ms": cordon.since_ms,
        "until_ms": cordon.until_ms,
    }


def eviction_row(_worker_id: str, eviction: Eviction) -> Row:
    """A row of `evictions`, without its key."""
    return {
        "revision": eviction.revision,
        "instances": canonical_bytes(list(eviction.instances)).decode(),
        "fenced": eviction.fenced,
        "at_ms": eviction.at_ms,
    }


def lease_row(_realm: str, lease_ms: int) -> Row:
    """The row of `leases`, without its key."""
    return {"lease_ms": lease_ms}


def leases(state: LivenessState, *, realm: str) -> Mapping[str, int]:
    """The lease by realm, as its table has it; nothing before the first."""
    return {realm: state.lease_ms} if state.lease_ms else {}


def liveness_of(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> LivenessState:
    """The state that `rows` (by table) hold."""
    return LivenessState(
        cordons={row["worker_id"]: _cordon(row) for row in rows["cordons"]},
        evictions={row["worker_id"]: _eviction(row) for row in rows["evictions"]},
        lease_ms=next((row["lease_ms"] for row in rows["leases"]), 0),
    )


def _cordon(row: Mapping[str, Any]) -> Cordon:
    return Cordon(
        worker_id=row["worker_id"],
        draining=bool(row["draining"]),
        reason=row["reason"],
        actor=row["actor"],
        since_ms=row["since_ms"],
        until_ms=row["until_ms"],
    )


def _eviction(row: Mapping[str, Any]) -> Eviction:
    return Eviction(
        worker_id=row["worker_id"],
        revision=row["revision"],
        instances=tuple(json.loads(row["instances"])),
        fenced=bool(row["fenced"]),
        at_ms=row["at_ms"],
    )
