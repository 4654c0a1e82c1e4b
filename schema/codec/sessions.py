"""Publishes, assignments and logins: messages whose values are more than one model."""

from collections.abc import Iterator
from typing import Any, assert_never

from pydantic import ValidationError

from schema.assignment import Seen, SignedAssignment
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed, explain_validation
from schema.codec.fields import Choice, writing
from schema.codec.reports import ORIGIN
from schema.codec.specs import SEALED_ROLLOUT, SEALED_VM_SPEC
from schema.errors import InvalidInput
from schema.generation import MAX_VMS, Publish, PublishHeader, PublishReceipt
from schema.interfaces import Challenge, Credential, PeerCredential, Role, TokenCredential, WorkerProof
from schema.vmspec import VmSpec

ROLE = Choice(Role, unknown=Role.VIEWER)


def write_publish(builder: Any, publish: Publish) -> None:
    """Fill publishState's arguments. Raises InvalidInput."""
    header = publish.header
    with writing("Publish"):
        builder.commit = header.commit
        builder.generation = header.number
        builder.intentHash = header.intent_hash
        builder.cluster = header.cluster
        builder.signature = header.signature
        builder.realm = header.realm
        ORIGIN.fill(builder.init("origin"), header.origin)
        SEALED_ROLLOUT.fill(builder.init("rollout"), publish.rollout)
        specs = builder.init("vmSpecs", len(publish.vm_specs))
        for at, spec in enumerate(publish.vm_specs):
            SEALED_VM_SPEC.fill(specs[at], spec)


def read_header(reader: Any) -> PublishHeader:
    """The named part of publishState's arguments. Raises InvalidInput."""
    plain = {
        "commit": reader.commit,
        "number": reader.generation,
        "intent_hash": reader.intentHash,
        "cluster": reader.cluster,
        "signature": reader.signature,
        "realm": reader.realm,
        "origin": ORIGIN.plain(reader.origin),
    }
    try:
        return PublishHeader.model_validate(plain)
    except ValidationError as error:
        raise InvalidInput(f"publish: {explain_validation(error)}") from error


def read_specs(reader: Any) -> Iterator[Sealed[VmSpec]]:
    """The VmSpecs one by one, so that a reader of many can let others run in between. Raises InvalidInput."""
    specs = reader.vmSpecs
    if len(specs) > MAX_VMS:
        raise InvalidInput(f"{len(specs)} VMs in one generation; the limit is {MAX_VMS}")
    return (SEALED_VM_SPEC.read(spec) for spec in specs)


def read_rollout(reader: Any) -> Sealed[RolloutPolicy]:
    """The rollout policy. Raises InvalidInput."""
    return SEALED_ROLLOUT.read(reader.rollout)


def read_publish(reader: Any) -> Publish:
    """PublishState's arguments. Raises InvalidInput."""
    return Publish(read_header(reader), tuple(read_specs(reader)), read_rollout(reader))


def write_receipt(builder: Any, receipt: PublishReceipt) -> None:
    """Fill publishState's answer."""
    with writing("PublishReceipt"):
        builder.number = receipt.number
        builder.intentHash = receipt.intent_hash
        builder.created = receipt.created


def read_receipt(reader: Any) -> PublishReceipt:
    """PublishState's answer."""
    return PublishReceipt(number=reader.number, intent_hash=reader.intentHash, created=reader.created)


def write_seen(builder: Any, seen: Seen) -> None:
    """Fill the cursor of a long poll."""
    with writing("Seen"):
        builder.epoch = seen.epoch
        builder.revision = seen.revision


def read_seen(params: Any) -> Seen | None:
    """GetAssignment's `lastSeen`, if there is one."""
    return Seen(params.lastSeen.epoch, params.lastSeen.revision) if params._has("lastSeen") else None


def write_assignment(builder: Any, assignment: SignedAssignment) -> None:
    """Fill an assignment."""
    with writing("SignedAssignment"):
        builder.data = assignment.data
        builder.signature = assignment.signature
        if assignment.intents:
            intents = builder.init("intents", len(assignment.intents))
            for position, intent in enumerate(assignment.intents):
                intents[position] = intent


def read_signed_assignment(results: Any) -> SignedAssignment | None:
    """GetAssignment's answer."""
    if not results._has("assignment"):
        return None
    found = results.assignment
    return SignedAssignment(found.data, found.signature, tuple(found.intents))


def write_credential(builder: Any, credential: Credential) -> None:
    """Fill a credential."""
    with writing("Credential"):
        match credential:
            case TokenCredential(token):
                builder.token = token
            case PeerCredential():
                builder.peer = None
            case WorkerProof():
                write_proof(builder.init("proof"), credential)
            case _:
                assert_never(credential)


def write_proof(builder: Any, proof: WorkerProof) -> None:
    """Fill a worker's proof. Raises InvalidInput."""
    with writing("WorkerProof"):
        builder.publicKey, builder.nonce = proof.public_key, proof.nonce
        builder.timeMs, builder.signature = proof.time_ms, proof.signature


def read_proof(reader: Any) -> WorkerProof:
    """A worker's proof."""
    return WorkerProof(reader.publicKey, reader.nonce, reader.timeMs, reader.signature)


def read_challenge(reader: Any) -> Challenge:
    """Gateway.challenge's answer."""
    return Challenge(reader.nonce, reader.serverTimeMs)


def read_credential(reader: Any) -> Credential:
    """A credential. Raises InvalidInput for a kind of a newer version."""
    match str(reader.which):
        case "peer":
            return PeerCredential()
        case "token":
            return TokenCredential(reader.token)
        case "proof":
            return read_proof(reader.proof)
        case other:
            raise InvalidInput(f"credentials of kind {other!r} are not known here")
