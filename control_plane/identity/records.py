"""What is kept of who may come in: workers' admissions, retired keys, people's tokens; it decides nothing.

No secret is here: of a token its SHA-256, of a worker its public key. All of it is on disk, as part of the snapshot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schema.interfaces import Role
from schema.operations import Admission
from schema.signing import PublicKey
from schema.status import WorkerFacts


@dataclass(frozen=True, slots=True)
class AdmissionRecord:
    """One worker id and the one key that it stands for. Times are Unix milliseconds; 0: not yet.

    `peer` is from where it asked first, `facts` what it last said of itself while it asked.
    """

    worker_id: str
    public_key: str
    admission: Admission
    facts: WorkerFacts
    asked_at_ms: int
    peer: str = ""
    decided_at_ms: int = 0
    decided_by: str = ""
    reason: str = ""

    @property
    def fingerprint(self) -> str:
        """The hexadecimal SHA-256 of its key."""
        return PublicKey.parse(self.public_key).fingerprint


@dataclass(frozen=True, slots=True)
class RetiredKey:
    """The tombstone of a worker's key: it never comes back, under whatever id.

    `revision` is that of the worker's last assignment, where the id goes on if another key is admitted for it: its
    machine may remember it.
    """

    fingerprint: str
    worker_id: str
    retired_at_ms: int
    retired_by: str
    reason: str = ""
    revision: int = 0


SETTINGS = "settings"
"""Who made a token that is kept only because it was in the settings and is over."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A person's or program's token. `expires_at_ms` 0: never; `revoked_at_ms` 0: it holds, and as much as
    `expires_at_ms`: it was seen to be over by its time, which a clock that is set back does not undo.
    """

    name: str
    sha256: str
    role: Role
    created_at_ms: int
    created_by: str
    expires_at_ms: int = 0
    revoked_at_ms: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it was seen to be over by its time."""
        return bool(self.revoked_at_ms) and self.revoked_at_ms == self.expires_at_ms

    def holds(self, *, wall_ms: int) -> bool:
        """Whether it is neither revoked nor expired."""
        return not self.revoked_at_ms and (not self.expires_at_ms or wall_ms < self.expires_at_ms)


@dataclass(frozen=True, slots=True)
class JoinTokenRecord:
    """A secret that lets one worker in, once. `worker_id` empty: any; `used_by` empty: not used yet.

    `expires_at_ms` below zero: it was seen to be over by its time.
    """

    sha256: str
    worker_id: str
    created_at_ms: int
    expires_at_ms: int
    created_by: str
    used_by: str = ""


@dataclass(frozen=True, slots=True)
class IdentityState:
    """All of it: admissions by worker id, tombstones by fingerprint, tokens by name, join tokens by their SHA-256."""

    admissions: Mapping[str, AdmissionRecord] = field(default_factory=dict)
    retired_keys: Mapping[str, RetiredKey] = field(default_factory=dict)
    tokens: Mapping[str, TokenRecord] = field(default_factory=dict)
    join_tokens: Mapping[str, JoinTokenRecord] = field(default_factory=dict)

    def admission(self, worker_id: str) -> Admission | None:
        """Where a worker stands; None for one that never asked."""
        record = self.admissions.get(worker_id)
        return record.admission if record else None

    def first_revision(self, worker_id: str) -> int:
        """Where a new machine of this id begins: behind all that a retired one has seen."""
        return max((key.revision + 1 for key in self.retired_keys.values() if key.worker_id == worker_id), default=0)


NO_IDENTITIES = IdentityState()
