"""Who may come in, asked and decided against the kept state: challenges, logins, joins, tokens; it grants no rights.

What each decision is stands in the modules beside it; here they meet the store, the clocks and the audit.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from control_plane.audit import AuditDraft
from control_plane.authority import Authority
from control_plane.events import StateEvent
from control_plane.identity import admission, expiry, join_tokens, tokens
from control_plane.identity.admission import Asking, JoinPolicy, Policy
from control_plane.identity.nonces import Nonces
from control_plane.identity.proof import JOIN, LOGIN, check_proof
from control_plane.identity.tokens import ConfiguredToken, Tokens
from control_plane.joining import check_worker_id
from control_plane.state import Snapshot
from schema.errors import Conflict, Unavailable
from schema.interfaces import Challenge, Identity, Role, WorkerHello, WorkerProof
from schema.operations import Admission, JoinAnswer, TokenInfo, WorkerAdmission
from schema.signing import PublicKey

log = logging.getLogger(__name__)

WORKER = "worker:"
OURSELVES = "control-plane"
LOOK_SECONDS = 5.0
"""How often tokens are looked through for those that are over."""
NONCE_BYTES = 16
SECRET_BYTES = 32

Draw = Callable[[int], bytes]
"""So many random bytes, from the system's generator."""


@dataclass(frozen=True, slots=True)
class GateRules:
    """What the settings say of who may come in, and where random bytes are from."""

    draw: Draw
    policy: Policy
    configured: tuple[ConfiguredToken, ...] = ()


class Clock(Protocol):
    """The two clocks of `app.py`."""

    def wall_ms(self) -> int:
        """Unix milliseconds."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never jump and count suspended time too (CLOCK_BOOTTIME)."""


class Gate:
    """One realm's gate. `starts` is how often the database was opened; `forget` takes a worker's connection away."""

    def __init__(
        self,
        authority: Authority,
        *,
        realm: str,
        rules: GateRules,
        clock: Clock,
        starts: int,
        forget: Callable[[str], None],
    ) -> None:
        self._authority = authority
        self._realm = realm
        self._policy = rules.policy
        self._configured = rules.configured
        self._draw = rules.draw
        self._clock = clock
        self._forget = forget
        self._nonces = Nonces(starts=starts, secret=rules.draw(SECRET_BYTES))

    @property
    def _snapshot(self) -> Snapshot:
        return self._authority.snapshot

    @property
    def _tokens(self) -> Tokens:
        return Tokens(self._configured, self._snapshot.identity)

    async def run(self) -> None:
        """Keep which tokens are over by their time, until cancelled: a clock that is set back brings none to life."""
        while True:
            await self._end_tokens()
            await trio.sleep(LOOK_SECONDS)

    async def _end_tokens(self) -> None:
        def decide(snapshot: Snapshot) -> tuple[StateEvent, ...]:
            return expiry.ended(Tokens(self._configured, snapshot.identity), wall_ms=self._clock.wall_ms())

        over = expiry.ended(self._tokens, wall_ms=self._clock.wall_ms())
        if not over:
            return
        try:
            await self._authority.change(decide, audit=AuditDraft(OURSELVES, "endToken", subject=expiry.names(over)))
        except Unavailable as error:
            log.warning("that %s is over is not on disk yet: %s", expiry.names(over), error.message)

    # Sessions.

    def token_identity(self, secret: str) -> Identity | None:
        """As Backend.verify_token."""
        return self._tokens.identity(secret, wall_ms=self._clock.wall_ms())

    def is_valid(self, identity: Identity) -> bool:
        """As Backend.is_valid: asked before every call, so it looks up and computes nothing."""
        subject = identity.subject
        if subject.startswith(tokens.SUBJECT):
            return self._tokens.holds(subject, wall_ms=self._clock.wall_ms())
        if subject.startswith(WORKER):
            return self._snapshot.identity.admission(subject.removeprefix(WORKER)) is Admission.APPROVED
        return True

    # Workers.

    def challenge(self, worker_id: str) -> Challenge:
        """As Backend.challenge. Raises InvalidInput for an id that is no DNS label."""
        check_worker_id(worker_id)
        nonce = self._nonces.give(worker_id, now_ms=self._clock.monotonic_ms(), random=self._draw(NONCE_BYTES))
        return Challenge(nonce, self._clock.wall_ms())

    def verify_worker(self, worker_id: str, proof: WorkerProof) -> Identity:
        """As Backend.verify_worker."""
        key = self._proven(worker_id, proof, purpose=LOGIN)
        admission.check_admitted(self._snapshot, worker_id, key)
        return Identity(subject=WORKER + worker_id, role=Role.WORKER)

    def _proven(self, worker_id: str, proof: WorkerProof, *, purpose: str) -> PublicKey:
        check_worker_id(worker_id)
        return check_proof(
            proof,
            purpose=purpose,
            realm=self._realm,
            worker_id=worker_id,
            nonces=self._nonces,
            now_ms=self._clock.monotonic_ms(),
            wall_ms=self._clock.wall_ms(),
        )

    async def join(self, hello: WorkerHello, proof: WorkerProof, *, token: str, peer: str) -> JoinAnswer:
        """As Backend.join. Asking again writes nothing."""
        key = self._proven(hello.worker_id, proof, purpose=JOIN)
        asking = Asking(hello, key, token, peer, self._clock.wall_ms())
        decide = partial(admission.ask, asking=asking, policy=self._policy)
        if decide(self._snapshot):

            def audit(before: Snapshot, after: Snapshot) -> AuditDraft:
                gone = sorted(before.identity.admissions.keys() - after.identity.admissions.keys())
                old = f"pushed out: {', '.join(gone)}, which nobody had let in" if gone else ""
                return AuditDraft(WORKER + hello.worker_id, "join", peer, hello.worker_id, old, key.fingerprint)

            await self._authority.change(decide, audit=audit)
            log.info("worker %s asks to join from %s with key %s", hello.worker_id, peer, key.fingerprint)
        return admission.answer(self._snapshot, hello.worker_id, key)

    def workers(self) -> tuple[WorkerAdmission, ...]:
        """As Master.list_workers."""
        order = list(Admission)
        records = self._snapshot.identity.admissions.values()
        return tuple(
            WorkerAdmission(
                worker_id=record.worker_id,
                admission=record.admission,
                fingerprint=record.fingerprint,
                facts=worker.facts if (worker := self._snapshot.workers.get(record.worker_id)) else record.facts,
                asked_at_ms=record.asked_at_ms,
                decided_at_ms=record.decided_at_ms,
                decided_by=record.decided_by,
                reason=record.reason,
                peer=record.peer,
            )
            for record in sorted(records, key=lambda one: (order.index(one.admission), one.worker_id))
        )

    async def approve(self, worker_id: str, *, by: Identity) -> None:
        """As Master.approve_worker."""
        decide = partial(admission.approve, worker_id=worker_id, by=by.subject, wall_ms=self._clock.wall_ms())
        await self._decide_about(worker_id, decide, by=by, action="approveWorker")

    async def reject(self, worker_id: str, *, reason: str, by: Identity) -> None:
        """As Master.reject_worker."""
        decide = partial(
            admission.reject, worker_id=worker_id, by=by.subject, reason=reason, wall_ms=self._clock.wall_ms()
        )
        await self._decide_about(worker_id, decide, by=by, action="rejectWorker", reason=reason)

    async def retire(self, worker_id: str, *, reason: str, by: Identity) -> None:
        """As Master.retire_worker; its connection is worth nothing from here on."""
        decide = partial(
            admission.retire, worker_id=worker_id, by=by.subject, reason=reason, wall_ms=self._clock.wall_ms()
        )
        await self._decide_about(worker_id, decide, by=by, action="retireWorker", reason=reason)
        self._forget(worker_id)

    async def _decide_about(
        self,
        worker_id: str,
        decide: Callable[[Snapshot], tuple[StateEvent, ...]],
        *,
        by: Identity,
        action: str,
        reason: str = "",
    ) -> None:
        def audit(before: Snapshot, after: Snapshot) -> AuditDraft:
            old, new = (str(one.identity.admission(worker_id) or "") for one in (before, after))
            return AuditDraft.by(by, action, subject=worker_id, old=old, new=f"{new}: {reason}" if reason else new)

        await self._authority.change(decide, audit=audit)

    async def create_join_token(self, worker_id: str, *, by: Identity) -> str:
        """As Master.create_join_token. Raises Conflict where the policy takes none."""
        secret = new_secret(self._draw)
        wall_ms = self._clock.wall_ms()

        def decide(snapshot: Snapshot) -> tuple[StateEvent, ...]:
            if worker_id:
                check_worker_id(worker_id)
            if self._policy.policy is JoinPolicy.MANUAL:
                raise Conflict("join tokens are not taken here: [workers] policy is manual; set it to token")
            return join_tokens.created(snapshot.identity, secret, worker_id=worker_id, by=by.subject, wall_ms=wall_ms)

        draft = AuditDraft.by(by, "createJoinToken", subject=worker_id or "any worker")
        await self._authority.change(decide, audit=draft)
        return secret

    # People.

    async def create_token(self, name: str, *, role: Role, lasts_ms: int, by: Identity) -> str:
        """As Master.create_token."""
        secret = new_secret(self._draw)
        wall_ms = self._clock.wall_ms()

        def decide(snapshot: Snapshot) -> tuple[StateEvent, ...]:
            known = Tokens(self._configured, snapshot.identity)
            return (
                tokens.created(known, secret, name=name, role=role, lasts_ms=lasts_ms, by=by.subject, wall_ms=wall_ms),
            )

        new = f"role {role}, " + (f"for {lasts_ms / 3_600_000:g} h" if lasts_ms else "until revoked")
        await self._authority.change(decide, audit=AuditDraft.by(by, "createToken", subject=name, new=new))
        return secret

    def list_tokens(self) -> tuple[TokenInfo, ...]:
        """As Master.list_tokens."""
        return self._tokens.listed()

    async def revoke_token(self, name: str, *, by: Identity) -> None:
        """As Master.revoke_token: what it holds ends with its next call."""
        wall_ms = self._clock.wall_ms()

        def decide(snapshot: Snapshot) -> tuple[StateEvent, ...]:
            return tokens.revoked(Tokens(self._configured, snapshot.identity), name, wall_ms=wall_ms)

        draft = AuditDraft.by(by, "revokeToken", subject=name, new="revoked")
        await self._authority.change(decide, audit=draft)


def new_secret(draw: Draw) -> str:
    """A fresh secret of 256 random bits, shown once and kept as its SHA-256 only."""
    return tokens.PREFIX + draw(SECRET_BYTES).hex()
