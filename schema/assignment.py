"""Assignments: what one worker shall run, signed by the control plane; it decides and sends nothing."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from schema.canonical import Sealed, sha256_hex
from schema.errors import BadSignature, InvalidInput, Stale
from schema.generation import Intent, publish_message
from schema.names import CommitSha, DnsLabel, GenerationNumber, InstanceName, Sha256Hex, StrictModel
from schema.origin import Origin
from schema.signing import PublicKey, SecretKey, check_signature
from schema.vmspec import VmSpec

ASSIGNMENT_PREFIX = b"procurator-assignment-v1\n"

MAX_SUBNET_PREFIX = 30
"""A longer prefix has no room for a gateway beside the instance."""

SPECS_REMEMBERED = 1024
"""Texts whose parsed form is at hand, as each assignment says most of the one before it again; one has about 1 KiB."""
_interface = lru_cache(maxsize=4096)(ipaddress.IPv4Interface)

Epoch = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""128 random bits, new with each database."""
MacAddress = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]


class Fallback(StrictModel):
    """What the worker may boot when the entry does not get healthy by its start deadline."""

    generation: GenerationNumber
    spec: str


class Entry(StrictModel):
    """One instance to run. `spec` is the VmSpec's canonical JSON text: hashes are over exactly that.

    `address` is the instance's IPv4 address with the prefix length of its worker's subnet (`10.77.0.2/24`); the
    gateway is that subnet's first address.
    """

    instance: InstanceName
    generation: GenerationNumber
    spec: str
    address: str
    mac: MacAddress
    fallback: Fallback | None = None

    @field_validator("address")
    @classmethod
    def _is_an_interface(cls, address: str) -> str:
        parsed = _interface(address)
        if str(parsed) != address or parsed.network.prefixlen > MAX_SUBNET_PREFIX:
            raise ValueError(f"'{address}' is not an IPv4 address with the prefix length of a subnet with a gateway")
        return address

    @property
    def ip(self) -> str:
        """The instance's address alone."""
        return str(_interface(self.address).ip)

    @property
    def gateway(self) -> str:
        """The first address of its worker's subnet."""
        return str(_interface(self.address).network[1])

    @property
    def vm(self) -> str:
        """The name of the VmSpec that this is an instance of."""
        return self.instance.rpartition("-")[0]

    def sealed_spec(self) -> Sealed[VmSpec]:
        """The spec with its bytes. Raises InvalidInput."""
        return _sealed(self.spec)

    def sealed_fallback(self) -> Sealed[VmSpec] | None:
        """The fallback's spec with its bytes, if there is one. Raises InvalidInput."""
        return _sealed(self.fallback.spec) if self.fallback else None


@lru_cache(maxsize=SPECS_REMEMBERED)
def _sealed(spec: str) -> Sealed[VmSpec]:
    return Sealed.parse(VmSpec, spec.encode())


class Peer(StrictModel):
    """An instance that an entry may reach or be reached by, and where it runs.

    `ports` are those of the entries here that it may reach, as its own `connect` names them: `vm:port`, sorted. What
    entries here may reach of it is in their own `connect`.
    """

    instance: InstanceName
    address: str
    worker_id: DnsLabel
    worker_address: str
    subnet: str
    ports: tuple[str, ...] = ()


class GenerationProof(StrictModel):
    """The intent document of a generation that an entry names, with CI's signature over its hash.

    The document travels beside the assignment: it is as long as the whole cluster, and has CI's signature already.
    """

    number: GenerationNumber
    commit: CommitSha
    origin: Origin
    intent_hash: Sha256Hex
    signature: str
    intent: str = Field(default="", exclude=True)


class Assignment(StrictModel):
    """All that one worker shall run, complete: what is not in it is to be stopped."""

    realm: DnsLabel = "default"
    worker_id: DnsLabel
    epoch: Epoch
    revision: Annotated[int, Field(ge=0)]
    entries: tuple[Entry, ...] = ()
    peers: tuple[Peer, ...] = ()
    generations: tuple[GenerationProof, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """The last assignment that a worker knows: the cursor of its long poll."""

    epoch: str
    revision: int


@dataclass(frozen=True, slots=True)
class SignedAssignment:
    """An assignment's bytes as the control plane signed them, and the intent documents that its proofs name by hash."""

    data: bytes
    signature: str
    intents: tuple[bytes, ...] = ()


def sign_assignment(data: bytes, intents: tuple[bytes, ...], key: SecretKey) -> SignedAssignment:
    """An assignment's canonical JSON as it travels and is kept."""
    return SignedAssignment(data, key.sign(ASSIGNMENT_PREFIX + data), intents)


def read_assignment(signed: SignedAssignment) -> Assignment:
    """What it says, whoever signed it, each proof with its document. Raises InvalidInput."""
    assignment = Sealed.parse(Assignment, signed.data).value
    intents = {sha256_hex(intent): intent for intent in signed.intents}
    proofs = tuple(_with_intent(proof, intents) for proof in assignment.generations)
    if unnamed := intents.keys() - {proof.intent_hash for proof in proofs}:
        raise InvalidInput(f"no generation names the intent document {min(unnamed)}")
    return assignment.model_copy(update={"generations": proofs})


def _with_intent(proof: GenerationProof, intents: Mapping[str, bytes]) -> GenerationProof:
    if proof.intent_hash not in intents:
        raise InvalidInput(f"generation {proof.number} comes without the intent document {proof.intent_hash}")
    try:
        return proof.model_copy(update={"intent": intents[proof.intent_hash].decode()})
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the intent document of generation {proof.number} is not text") from error


def open_assignment(
    signed: SignedAssignment,
    *,
    worker_id: str,
    last_seen: Seen | None,
    control_plane_keys: Sequence[PublicKey],
    publisher_keys: Sequence[PublicKey],
) -> Assignment:
    """The assignment after every check that a worker makes before it believes one (DESIGN §6 Trust).

    Raises BadSignature (either signature, or a spec that no signed intent covers), InvalidInput (another worker's,
    malformed) and Stale (an older revision of the same epoch).
    """
    check_signature(
        message=ASSIGNMENT_PREFIX + signed.data,
        signature=signed.signature,
        keys=control_plane_keys,
        what="the assignment",
    )
    assignment = read_assignment(signed)
    if assignment.worker_id != worker_id:
        raise InvalidInput(f"the assignment is for worker {assignment.worker_id!r}, and this is {worker_id!r}")
    if last_seen and assignment.epoch == last_seen.epoch and assignment.revision < last_seen.revision:
        raise Stale(f"assignment revision {assignment.revision} is older than {last_seen.revision}, which is known")
    intents = {
        proof.number: _checked_intent(proof, assignment.realm, publisher_keys) for proof in assignment.generations
    }
    for entry in assignment.entries:
        _check_covered(entry.vm, entry.generation, entry.sealed_spec(), intents)
        fallback = entry.sealed_fallback()
        if entry.fallback and fallback:
            _check_covered(entry.vm, entry.fallback.generation, fallback, intents)
    return assignment


def _checked_intent(proof: GenerationProof, realm: str, keys: Sequence[PublicKey]) -> Intent:
    message = publish_message(
        realm=realm,
        origin=proof.origin,
        number=proof.number,
        commit=proof.commit,
        intent_hash=proof.intent_hash,
    )
    check_signature(message=message, signature=proof.signature, keys=keys, what=f"generation {proof.number}")
    return Sealed.parse(Intent, proof.intent.encode()).value


def _check_covered(vm: str, generation: int, spec: Sealed[VmSpec], intents: dict[int, Intent]) -> None:
    intent = intents.get(generation)
    if intent is None:
        raise BadSignature(f"generation {generation} of {vm!r} comes without its signed intent")
    if spec.value.name != vm or intent.vms.get(vm) != spec.sha256:
        raise BadSignature(f"the VmSpec of {vm!r} is not the one that generation {generation} was signed with")
