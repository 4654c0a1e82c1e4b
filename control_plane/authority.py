"""The one place where the snapshot changes: a single writer task that stores each change before it counts.

It decides nothing: `change` takes a function from the current snapshot to events. The snapshot that others see is only
replaced after the commit has returned, so nobody acts on what a crash could take back. Requests that come while a
commit is under way are written together by the next one; each still succeeds or is refused by itself.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from control_plane.audit import OK, UNCHANGED, AuditDraft, Head, Refusals, Verification, head_after, sealed
from control_plane.events import StateEvent, apply
from control_plane.state import Snapshot
from control_plane.store.database import Database
from control_plane.store.writer import Doubtful, Superseded
from schema.errors import ProcuratorError, Unavailable
from schema.operations import AuditEntry, AuditVerdict

T = TypeVar("T")
Decide = Callable[[Snapshot], Sequence[StateEvent]]
OnChange = Callable[[Snapshot, Snapshot], None]
AuditOf = Callable[[Snapshot, Snapshot], AuditDraft]
"""The draft from the snapshots before and after, where it tells old and new values; equal ones for what was refused."""
OnCommit = Callable[[float, int], None]
"""Told of each commit: how many seconds it took, and how many requests it carried."""

QUEUE = 64
"""Requests that wait; further callers wait to be let in."""
VERIFIED_AT_ONCE = 1000
"""Rows of the audit that are read in one go: commits come between."""
SETTLE_SECONDS = 1.0
"""How often it is asked whether a commit whose answer was lost is there."""

log = logging.getLogger(__name__)


class Bell:
    """Wakes everyone who waits. Take `next` before looking at the state, then wait on it: no change is missed."""

    def __init__(self) -> None:
        self.next = trio.Event()

    def ring(self) -> None:
        """Something has changed."""
        rung, self.next = self.next, trio.Event()
        rung.set()


@dataclass(slots=True)
class _Request:
    decide: Decide | None
    audit: AuditDraft | AuditOf | None = None
    refusal: ProcuratorError | None = None
    result: str = OK
    done: trio.Event = field(default_factory=trio.Event)
    error: ProcuratorError | None = None

    def draft(self, before: Snapshot, after: Snapshot) -> AuditDraft | None:
        return self.audit(before, after) if callable(self.audit) else self.audit


@dataclass(frozen=True, slots=True)
class _Write:
    """What one transaction brings."""

    before: Snapshot
    after: Snapshot
    entries: tuple[AuditEntry, ...]


class Authority:
    """Holds the snapshot and writes its changes, one transaction after the other."""

    def __init__(
        self,
        database: Database,
        *,
        realm: str,
        on_change: OnChange,
        wall_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._realm = realm
        self._on_change = on_change
        self.on_commit: OnCommit = lambda _seconds, _requests: None
        self._wall_ms = wall_ms
        self._limiter = trio.CapacityLimiter(1)
        self._send, self._receive = trio.open_memory_channel[_Request](QUEUE)
        self._refusals = Refusals()
        self._doubtful: _Write | None = None
        self.snapshot = database.load(realm)
        self.audit_head = database.audit_head(realm)

    async def change(self, decide: Decide, *, audit: AuditDraft | AuditOf | None = None) -> Snapshot:
        """Apply and store what `decide` says of the then current snapshot; returns when it is on disk.

        `audit` is written in the same transaction; it is also written when `decide` refuses (then alone, and bounded)
        and when it asks for nothing. Raises what `decide` raises, and Unavailable when nothing could be written. A
        caller that is cancelled may find its change made.
        """
        return await self._ask(_Request(decide, audit))

    async def record(self, audit: AuditDraft, *, refusal: ProcuratorError | None = None, result: str = OK) -> None:
        """Write `audit` alone: of what changes no state, or of what was refused before it came here (bounded).

        Returns when it is on disk. Raises Unavailable when it could not be written; not for a refusal.
        """
        await self._ask(_Request(None, audit, refusal, result))

    def note(self, audit: AuditDraft, *, refusal: ProcuratorError) -> None:
        """As `record` of a refusal, without waiting. When too much else waits, it is in the log alone."""
        try:
            self._send.send_nowait(_Request(None, audit, refusal))
        except trio.WouldBlock:
            log.warning("a refusal is not in the audit: %s of %s: %s", audit.action, audit.actor, refusal.message)

    async def _ask(self, request: _Request) -> Snapshot:
        await self._send.send(request)
        await request.done.wait()
        if request.error is not None:
            raise request.error
        return self.snapshot

    async def audit_entries(self, *, limit: int, before: int) -> tuple[AuditEntry, ...]:
        """As Master.list_audit."""
        return await self._in_thread(partial(self._database.audit_entries, self._realm, limit=limit, before=before))

    async def verify_audit(self, *, witness: Head | None = None) -> AuditVerdict:
        """As Master.verify_audit; `witness` is a head that was noted down earlier."""
        check = Verification(self._database.audit_start(self._realm), witness or self.audit_head)
        while True:
            read = partial(self._database.audit_chain, self._realm, after=check.at.rows, most=VERIFIED_AT_ONCE)
            entries, kept = await self._in_thread(read)
            if not check.take(entries) or len(entries) < VERIFIED_AT_ONCE:
                return check.verdict(kept)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The writer task.

        An error of the disk other than being full ends it, and with it the process; so does another control plane that
        has taken the database over (Superseded).
        """
        task_status.started()
        while True:
            batch = await self._next_batch()
            try:
                await self._carry_out(batch)
            except Superseded as error:
                _refuse(batch, error)
                raise
            except ProcuratorError as error:
                _refuse(batch, error)
            for request in batch:
                request.done.set()

    async def _next_batch(self) -> list[_Request]:
        """All that waits, at least one; none after a while when a lost answer is to be asked for."""
        batch = []
        with trio.move_on_after(SETTLE_SECONDS if self._doubtful else float("inf")):
            batch.append(await self._receive.receive())
        while len(batch) < QUEUE:
            try:
                batch.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        return batch

    async def _carry_out(self, batch: Sequence[_Request]) -> None:
        await self._settle()
        before = after = self.snapshot
        head, entries = self.audit_head, []
        for request in batch:
            had = after
            try:
                for event in request.decide(had) if request.decide else ():
                    after = apply(after, event)
            except ProcuratorError as error:
                request.error, after = error, had
            entry = self._entry(request, had, after, head=head)
            if entry:
                entries.append(entry)
                head = head_after(entry)
        if after is not before or entries:
            await self._write(_Write(before, after, tuple(entries)), requests=len(batch))

    def _entry(self, request: _Request, before: Snapshot, after: Snapshot, *, head: Head) -> AuditEntry | None:
        now_ms = self._wall_ms()
        result: str | None = UNCHANGED if request.decide and after is before else request.result
        if refused := request.error or request.refusal:
            result = self._refusals.admit(refused, now_ms=now_ms) if request.audit else None
        draft = request.draft(before, after)
        if draft is None or result is None:
            return None
        return sealed(draft, head=head, at_ms=now_ms, result=result)

    async def _write(self, write: _Write, *, requests: int) -> None:
        # Shielded: between the commit and the new snapshot there is no point at which a cancellation could enter.
        with trio.CancelScope(shield=True):
            began = trio.current_time()
            store = partial(self._database.write, write.before, write.after, audit=write.entries)
            try:
                await trio.to_thread.run_sync(store, limiter=self._limiter, abandon_on_cancel=False)
            except Doubtful:
                self._doubtful = write
                raise
            self.on_commit(trio.current_time() - began, requests)
            self._believe(write)

    async def _settle(self) -> None:
        """Find out whether the commit whose answer was lost is there. Raises Unavailable while that cannot be told."""
        if self._doubtful is None:
            return
        committed = await self._in_thread(self._database.settle)
        write, self._doubtful = self._doubtful, None
        log.warning("the commit whose answer was lost %s", "was written" if committed else "was not written")
        if committed:
            self._believe(write)

    def _believe(self, write: _Write) -> None:
        if write.entries:
            self.audit_head = head_after(write.entries[-1])
            # The log is a witness of its own: what is taken out of the database later is missing against it.
            log.info("the audit has %d rows now, the last one %s", self.audit_head.rows, self.audit_head.hash)
        if write.after is not write.before:
            self.snapshot = write.after
            self._on_change(write.before, write.after)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=False)


def _refuse(batch: Sequence[_Request], error: ProcuratorError) -> None:
    """Answer those that were not refused before; that a refusal could not be written is told in the log alone."""
    for request in batch:
        if request.refusal is not None and isinstance(error, Unavailable):
            log.warning("a refusal is not in the audit: %s", error.message)
        else:
            request.error = request.error or error
        request.done.set()
