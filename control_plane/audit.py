"""The audit as a chain of hashes: an entry from a draft, its hash, and whether a chain holds; it stores nothing.

Each row's hash covers the row before it and the canonical JSON of all its own fields, so that a changed, missing or
moved row shows. That rows were cut off at the end shows against a head (how many rows, and the last one's hash) that is
kept elsewhere: in a table of its own, in the log, in `/metrics`, or on another machine; and against how many were
written, which the database's own row counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from schema.canonical import canonical_bytes, sha256_hex
from schema.errors import InvalidInput, ProcuratorError
from schema.interfaces import Identity
from schema.names import printable
from schema.operations import AuditEntry, AuditVerdict

OK = "ok"
UNCHANGED = "unchanged"
"""The result of what was asked for and already so."""
MOST_TEXT = 4096
"""Characters of a field that are kept; what was longer says so."""


@dataclass(frozen=True, slots=True)
class AuditDraft:
    """What is to be written of something that somebody does: never a secret, and no more than what it says.

    `actor` is the identity's subject (`uid:0`, `token:<name>`, `worker:<id>`; ourselves: `control-plane`), `peer` where
    from, `action` the operation's name on the wire (`publishState`), `subject` what it is done to, `old` and `new` the
    values before and after, as short text or JSON.
    """

    actor: str
    action: str
    peer: str = ""
    subject: str = ""
    old: str = ""
    new: str = ""

    @classmethod
    def by(cls, identity: Identity, action: str, *, subject: str = "", old: str = "", new: str = "") -> "AuditDraft":
        """What `identity` does."""
        return cls(identity.subject, action, identity.peer, subject, old, new)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: its rows, which are numbered from 1, and the last one's hash."""

    rows: int
    hash: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept beside a chain: its head, and elsewhere how many rows were ever written."""

    head: Head
    written: int


def genesis(*, epoch: str, realm: str) -> Head:
    """The head of the empty chain: a chain belongs to one database and realm."""
    return Head(0, sha256_hex(f"procurator-audit-v1\n{epoch}\n{realm}".encode()))


def result_of(error: ProcuratorError) -> str:
    """The result of what was refused."""
    return f"{error.code}: {error.message}"


def sealed(draft: AuditDraft, *, head: Head, at_ms: int, result: str) -> AuditEntry:
    """The row for `draft` behind `head`. `at_ms` is Unix milliseconds."""
    entry = AuditEntry(
        sequence=head.rows + 1,
        at_ms=at_ms,
        actor=_kept(draft.actor),
        peer=_kept(draft.peer),
        action=_kept(draft.action),
        subject=_kept(draft.subject),
        old=_kept(draft.old),
        new=_kept(draft.new),
        result=_kept(result),
    )
    return entry.model_copy(update={"hash": hash_of(entry, previous=head.hash)})


def head_after(entry: AuditEntry) -> Head:
    """The head of a chain that ends with `entry`."""
    return Head(entry.sequence, entry.hash)


def hash_of(entry: AuditEntry, *, previous: str) -> str:
    """SHA-256 over the previous hash, a newline and the canonical JSON of the row without its own hash."""
    fields = entry.model_dump(mode="json", by_alias=True, exclude={"hash"})
    return sha256_hex(previous.encode() + b"\n" + canonical_bytes(fields))


def _kept(text: str) -> str:
    clean = printable(text)
    if len(clean) <= MOST_TEXT:
        return clean
    return f"{clean[:MOST_TEXT]}… ({len(clean)} characters, sha256 {sha256_hex(clean.encode())})"


@dataclass(slots=True)
class Verification:
    """Follows a chain from `start`, piece by piece.

    `witness` is a head that somebody noted down earlier: the chain must go through it.
    """

    start: Head
    witness: Head | None = None
    at: Head = field(init=False)
    _broken: AuditVerdict | None = None

    def __post_init__(self) -> None:
        self.at = self.start

    def take(self, entries: Iterable[AuditEntry]) -> bool:
        """The next rows, in their order; whether the chain holds so far."""
        for entry in entries:
            if self._broken:
                break
            if reason := _fault(entry, self.at):
                self._break(self.at.rows + 1, reason)
                break
            self.at = head_after(entry)
            if self.witness and self.witness.rows == self.at.rows and self.witness.hash != self.at.hash:
                self._break(self.at.rows, "this row or one before it is another than when its hash was noted down")
        return self._broken is None

    def verdict(self, kept: Kept) -> AuditVerdict:
        """What came of it, against what is kept beside the rows."""
        head = kept.head
        most = max(head.rows, kept.written, self.witness.rows if self.witness else 0)
        if not self._broken and self.at.rows < most:
            self._break(self.at.rows + 1, f"there were {most} rows, and this one and all behind it are missing")
        if not self._broken and self.at != head:
            self._break(self.at.rows, f"the chain does not end in the head that is kept beside it ({head.rows} rows)")
        return self._broken or AuditVerdict(holds=True, rows=self.at.rows)

    def _break(self, row: int, reason: str) -> None:
        self._broken = AuditVerdict(holds=False, rows=self.at.rows, broken_at=row, reason=f"row {row}: {reason}")


def _fault(entry: AuditEntry, at: Head) -> str:
    if entry.sequence != at.rows + 1:
        return f"missing; the next one is {entry.sequence}"
    try:
        right = hash_of(entry, previous=at.hash)
    except InvalidInput as error:
        return f"cannot be hashed: {error.message}"
    return "" if entry.hash == right else "not what was written, or not behind what it was written behind"


REFUSALS_AT_ONCE = 100
"""Refused attempts that are written without pause."""
MS_PER_REFUSAL = 10_000
"""After that one of them every so often: 9,000 rows a day at the most, whoever knocks."""
_ROOM_MS = REFUSALS_AT_ONCE * MS_PER_REFUSAL
_UNAUTHENTICATED = "unauthenticated"


@dataclass(slots=True)
class Refusals:
    """Bounds how many refused attempts are written, so that nobody fills the disk with them.

    What a bucket has no room for is counted, and the next written refusal says how many there were. Attempts of nobody
    we know (`unauthenticated`) have a bucket of their own: they cannot use up that of people.
    """

    _buckets: dict[str, tuple[int, int]] = field(default_factory=dict)
    _left_out: dict[str, int] = field(default_factory=dict)

    def admit(self, error: ProcuratorError, *, now_ms: int) -> str | None:
        """The result to write for a refusal now, or None when it is only counted."""
        kind = _UNAUTHENTICATED if error.code == _UNAUTHENTICATED else ""
        room_ms, since_ms = self._buckets.get(kind, (_ROOM_MS, now_ms))
        room_ms = min(_ROOM_MS, room_ms + max(0, now_ms - since_ms))
        if room_ms < MS_PER_REFUSAL:
            self._buckets[kind] = (room_ms, now_ms)
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        self._buckets[kind] = (room_ms - MS_PER_REFUSAL, now_ms)
        left_out = self._left_out.pop(kind, 0)
        return result_of(error) + (f" (and {left_out} more refusals before it)" if left_out else "")
