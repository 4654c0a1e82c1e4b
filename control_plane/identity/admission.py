"""How a worker gets in and out: what its asking changes, and an operator's decisions; it checks no signature.

An id stands for one key. Another key under the same name has to wait until the first is retired (or was rejected), and
is then decided about anew; a retired key stays retired.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from control_plane.events import StateEvent, WorkerForgotten
from control_plane.identity.changes import AdmissionChanged, JoinTokenChanged, KeyRetired
from control_plane.identity.join_tokens import usable
from control_plane.identity.records import AdmissionRecord, JoinTokenRecord, RetiredKey
from control_plane.identity.waiting import room_for
from control_plane.joining import check_hello
from control_plane.state import NOTHING, Snapshot
from schema.errors import Conflict, NotFound, PermissionDenied, Unauthenticated
from schema.interfaces import WorkerHello
from schema.operations import Admission, JoinAnswer
from schema.signing import PublicKey

_UNIX = "unix:"
_MAPPED = "[::ffff:"
"""Of IPv4 addresses, where one listener takes both kinds."""


class JoinPolicy(StrEnum):
    """`[workers] policy`: who decides about a worker that asks."""

    MANUAL = "manual"
    TOKEN = "token"  # noqa: S105 a word of the settings
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Policy:
    """`[workers]`. With `auto`, who asks over the unix socket as one of `auto_uids`, or from `auto_networks`, is in."""

    policy: JoinPolicy = JoinPolicy.MANUAL
    auto_uids: frozenset[int] = frozenset()
    auto_networks: tuple[str, ...] = ()

    def admits(self, peer: str) -> bool:
        """Whether whoever asks from `peer` (`unix:uid 0 pid 12` or `host:port`) is in without a word."""
        if self.policy is not JoinPolicy.AUTO:
            return False
        if peer.startswith(_UNIX):
            words = peer.removeprefix(_UNIX).split()
            return words[:1] == ["uid"] and words[1].isdigit() and int(words[1]) in self.auto_uids
        try:
            address = ipaddress.ip_address(host_of(peer).strip("[]"))
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(network) for network in self.auto_networks)


@dataclass(frozen=True, slots=True)
class Asking:
    """A worker that has proven its key and asks to be let in. `token` empty: it showed none."""

    hello: WorkerHello
    key: PublicKey
    token: str
    peer: str
    wall_ms: int


def host_of(peer: str) -> str:
    """From where, without what changes with every connection; IPv4 as such, however the listener came by it."""
    if peer.startswith(_UNIX):
        return "unix"
    host = peer.rpartition(":")[0]
    return host.removeprefix(_MAPPED).removesuffix("]") if host.startswith(_MAPPED) else host


def ask(snapshot: Snapshot, asking: Asking, *, policy: Policy) -> tuple[StateEvent, ...]:
    """What a request to join changes; nothing when it was made before and nothing about it is new.

    `answer` tells the worker what became of it. Raises InvalidInput (id or facts), Conflict (the id has another key),
    PermissionDenied (its join token is no good) and Unavailable (too many wait already).
    """
    check_hello(asking.hello)
    state, worker_id = snapshot.identity, asking.hello.worker_id
    if asking.key.fingerprint in state.retired_keys:
        return ()
    known = state.admissions.get(worker_id)
    if known is not None and known.fingerprint == asking.key.fingerprint:
        return _ask_again(snapshot, known, asking, policy)
    if known is not None and known.admission in {Admission.PENDING, Admission.APPROVED}:
        raise Conflict(
            f"worker {worker_id!r} is {known.admission} with another key (SHA-256 {known.fingerprint}, this one has "
            f"{asking.key.fingerprint}); for another machine of that name, retire or reject the first: then ask again"
        )
    fresh = AdmissionRecord(
        worker_id=worker_id,
        public_key=str(asking.key),
        admission=Admission.PENDING,
        facts=asking.hello.facts,
        asked_at_ms=asking.wall_ms,
        peer=host_of(asking.peer),
    )
    decided = _decided_at_once(snapshot, fresh, asking, policy)
    return decided or (*room_for(state, fresh), AdmissionChanged(fresh))


def _ask_again(snapshot: Snapshot, known: AdmissionRecord, asking: Asking, policy: Policy) -> tuple[StateEvent, ...]:
    if known.admission is not Admission.PENDING:
        return ()
    now = replace(known, facts=asking.hello.facts, peer=host_of(asking.peer))
    decided = _decided_at_once(snapshot, now, asking, policy)
    return decided or (() if now == known else (AdmissionChanged(now),))


def _decided_at_once(
    snapshot: Snapshot, record: AdmissionRecord, asking: Asking, policy: Policy
) -> tuple[StateEvent, ...]:
    """The approval that the policy gives without a person; nothing where one has to decide."""
    if asking.token:
        token = _good_token(snapshot, asking, policy)
        used = replace(token, used_by=record.worker_id)
        by = f"join token of {token.created_by}"
        return (AdmissionChanged(_approved(record, by=by, wall_ms=asking.wall_ms)), JoinTokenChanged(used))
    if policy.admits(asking.peer):
        return (AdmissionChanged(_approved(record, by="policy auto", wall_ms=asking.wall_ms)),)
    return ()


def _good_token(snapshot: Snapshot, asking: Asking, policy: Policy) -> JoinTokenRecord:
    if policy.policy is JoinPolicy.MANUAL:
        raise PermissionDenied("join tokens are not taken here: [workers] policy is manual")
    return usable(snapshot.identity, asking.token, worker_id=asking.hello.worker_id, wall_ms=asking.wall_ms)


def _approved(record: AdmissionRecord, *, by: str, wall_ms: int) -> AdmissionRecord:
    return replace(record, admission=Admission.APPROVED, decided_at_ms=wall_ms, decided_by=by, reason="")


def answer(snapshot: Snapshot, worker_id: str, key: PublicKey) -> JoinAnswer:
    """What a worker that asked is told."""
    retired = snapshot.identity.retired_keys.get(key.fingerprint)
    if retired is not None:
        return JoinAnswer(admission=Admission.RETIRED, reason=retired.reason)
    record = snapshot.identity.admissions[worker_id]
    return JoinAnswer(admission=record.admission, reason=record.reason)


def check_admitted(snapshot: Snapshot, worker_id: str, key: PublicKey) -> None:
    """See that a worker with a proven key may work.

    Raises Unauthenticated (a retired key, an unknown worker, another key than the admitted) and PermissionDenied
    (pending, rejected), each told apart.
    """
    retired = snapshot.identity.retired_keys.get(key.fingerprint)
    if retired is not None:
        why = f": {retired.reason}" if retired.reason else ""
        raise Unauthenticated(f"the key of worker {worker_id!r} was retired{why}; it does not come back")
    record = snapshot.identity.admissions.get(worker_id)
    if record is None:
        raise Unauthenticated(f"worker {worker_id!r} is not known here: it has to ask to join")
    if record.fingerprint != key.fingerprint:
        raise Unauthenticated(f"worker {worker_id!r} is known by another key (SHA-256 {record.fingerprint})")
    if record.admission is not Admission.APPROVED:
        why = f": {record.reason}" if record.reason else ""
        raise PermissionDenied(f"worker {worker_id!r} is {record.admission}{why}")


def _record(snapshot: Snapshot, worker_id: str) -> AdmissionRecord:
    record = snapshot.identity.admissions.get(worker_id)
    if record is None:
        raise NotFound(f"no worker {worker_id!r} has asked to join")
    return record


def approve(snapshot: Snapshot, worker_id: str, *, by: str, wall_ms: int) -> tuple[StateEvent, ...]:
    """Let a pending or rejected worker in; nothing when it is in. Raises NotFound, and Conflict for a retired one."""
    record = _record(snapshot, worker_id)
    if record.admission is Admission.RETIRED:
        raise Conflict(f"worker {worker_id!r} is retired: a machine of that name needs a new key, and asks with it")
    if record.admission is Admission.APPROVED:
        return ()
    return (AdmissionChanged(_approved(record, by=by, wall_ms=wall_ms)),)


def reject(snapshot: Snapshot, worker_id: str, *, by: str, reason: str, wall_ms: int) -> tuple[StateEvent, ...]:
    """Refuse a pending worker. Raises NotFound, and Conflict for one that is in or retired."""
    record = _record(snapshot, worker_id)
    if record.admission is Admission.APPROVED:
        raise Conflict(f"worker {worker_id!r} is approved: retire it to take it out")
    if record.admission is Admission.RETIRED:
        raise Conflict(f"worker {worker_id!r} is retired already")
    rejected = replace(record, admission=Admission.REJECTED, decided_at_ms=wall_ms, decided_by=by, reason=reason)
    return (AdmissionChanged(rejected),)


def retire(snapshot: Snapshot, worker_id: str, *, by: str, reason: str, wall_ms: int) -> tuple[StateEvent, ...]:
    """Take a worker and its key out for good; nothing when it is. Raises NotFound, and Conflict while it has VMs."""
    record = _record(snapshot, worker_id)
    if record.admission is Admission.RETIRED:
        return ()
    _check_empty(snapshot, worker_id)
    worker = snapshot.workers.get(worker_id)
    retired = replace(record, admission=Admission.RETIRED, decided_at_ms=wall_ms, decided_by=by, reason=reason)
    key = RetiredKey(
        fingerprint=record.fingerprint,
        worker_id=worker_id,
        retired_at_ms=wall_ms,
        retired_by=by,
        reason=reason,
        revision=worker.revision if worker else snapshot.identity.first_revision(worker_id),
    )
    forgotten = (WorkerForgotten(worker_id),) if worker else ()
    return (AdmissionChanged(retired), KeyRetired(key), *forgotten)


def _check_empty(snapshot: Snapshot, worker_id: str) -> None:
    placed = sorted(placement.instance for placement in snapshot.placed_on(worker_id))
    if placed:
        raise Conflict(f"worker {worker_id!r} still has {_named(placed)}: drain it first")
    bound = sorted(
        instance
        for instance, where in snapshot.volume_bindings.items()
        if where == worker_id and snapshot.wanted(instance) != NOTHING
    )
    if bound:
        raise Conflict(f"worker {worker_id!r} still holds the volumes of {_named(bound)}: release them first")


def _named(instances: Sequence[str]) -> str:
    more = f" and {len(instances) - 5} more" if len(instances) > 5 else ""
    return ", ".join(instances[:5]) + more
