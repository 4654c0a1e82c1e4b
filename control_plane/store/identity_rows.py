"""Who may come in as rows and back, for `rows.py`; it knows no database and no difference."""

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.identity.records import (
    AdmissionRecord,
    IdentityState,
    JoinTokenRecord,
    RetiredKey,
    TokenRecord,
)
from schema.canonical import canonical_bytes
from schema.interfaces import Role
from schema.operations import Admission
from schema.status import WorkerFacts

Row = dict[str, Any]


def admission_row(_worker_id: str, record: AdmissionRecord) -> Row:
    """A row of `admissions`, without its key."""
    return {
        "public_key": record.public_key,
        "admission": record.admission.value,
        "facts": canonical_bytes(record.facts.model_dump(mode="json", by_alias=True)).decode(),
        "asked_at_ms": record.asked_at_ms,
        "peer": record.peer,
        "decided_at_ms": record.decided_at_ms,
        "decided_by": record.decided_by,
        "reason": record.reason,
    }


def retired_key_row(_fingerprint: str, key: RetiredKey) -> Row:
    """A row of `retired_keys`, without its key."""
    return {
        "worker_id": key.worker_id,
        "retired_at_ms": key.retired_at_ms,
        "retired_by": key.retired_by,
        "reason": key.reason,
        "revision": key.revision,
    }


def token_row(_name: str, token: TokenRecord) -> Row:
    """A row of `tokens`, without its key."""
    return {
        "sha256": token.sha256,
        "role": token.role.value,
        "created_at_ms": token.created_at_ms,
        "created_by": token.created_by,
        "expires_at_ms": token.expires_at_ms,
        "revoked_at_ms": token.revoked_at_ms,
    }


def join_token_row(_sha256: str, token: JoinTokenRecord) -> Row:
    """A row of `join_tokens`, without its key."""
    return {
        "worker_id": token.worker_id,
        "created_at_ms": token.created_at_ms,
        "expires_at_ms": token.expires_at_ms,
        "created_by": token.created_by,
        "used_by": token.used_by,
    }


def identity_of(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> IdentityState:
    """What the rows of one realm hold, by table. Raises ValueError for a row that was not written here."""
    return IdentityState(
        admissions={row["worker_id"]: _admission(row) for row in rows["admissions"]},
        retired_keys={row["fingerprint"]: RetiredKey(**_own(row)) for row in rows["retired_keys"]},
        tokens={row["name"]: _token(row) for row in rows["tokens"]},
        join_tokens={row["sha256"]: JoinTokenRecord(**_own(row)) for row in rows["join_tokens"]},
    )


def _own(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "realm"}


def _admission(row: Mapping[str, Any]) -> AdmissionRecord:
    values = _own(row)
    return AdmissionRecord(
        **{
            **values,
            "admission": Admission(values["admission"]),
            "facts": WorkerFacts.model_validate_json(values["facts"]),
        }
    )


def _token(row: Mapping[str, Any]) -> TokenRecord:
    return TokenRecord(**{**_own(row), "role": Role(row["role"])})
