"""Generations and their publication: intent hash, signed message and checks; it stores and sends nothing."""

from dataclasses import dataclass

from pydantic import Field

from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed, canonical_bytes
from schema.errors import HashMismatch, InvalidInput
from schema.names import (
    CommitSha,
    DnsLabel,
    GenerationNumber,
    Sha256Hex,
    StrictModel,
)
from schema.origin import Origin
from schema.signing import SecretKey
from schema.vmspec import VmSpec

PUBLISH_PREFIX = b"procurator-publish-v1\n"
MAX_VMS = 100_000


class Intent(StrictModel):
    """The small document whose hash is a generation's intentHash: the hash of each part's canonical bytes."""

    cluster: DnsLabel
    rollout: Sha256Hex
    vms: dict[DnsLabel, Sha256Hex]


def intent_of(*, cluster: str, rollout: Sealed[RolloutPolicy], vm_specs: tuple[Sealed[VmSpec], ...]) -> Sealed[Intent]:
    """The intent document over the bytes as they came. Raises InvalidInput when two specs have one name."""
    vms = {spec.value.name: spec.sha256 for spec in vm_specs}
    if len(vms) != len(vm_specs):
        raise InvalidInput("two VmSpecs have the same name")
    return Sealed.of(Intent(cluster=cluster, rollout=rollout.sha256, vms=vms))


def publish_message(*, realm: str, origin: Origin, number: int, commit: str, intent_hash: str) -> bytes:
    """What CI's key signs (DESIGN §6 Trust)."""
    return PUBLISH_PREFIX + canonical_bytes(
        {
            "realm": realm,
            "origin": origin.model_dump(mode="json", by_alias=True),
            "number": number,
            "commit": commit,
            "intentHash": intent_hash,
        }
    )


class PublishHeader(StrictModel):
    """The named part of a publish, which its signature covers."""

    realm: DnsLabel = "default"
    cluster: DnsLabel
    number: GenerationNumber
    commit: CommitSha
    origin: Origin
    intent_hash: Sha256Hex
    signature: str = Field(default="", max_length=512)

    @property
    def message(self) -> bytes:
        """The bytes under the signature."""
        return publish_message(
            realm=self.realm,
            origin=self.origin,
            number=self.number,
            commit=self.commit,
            intent_hash=self.intent_hash,
        )


@dataclass(frozen=True, slots=True)
class Publish:
    """A generation on its way to the control plane: `publishState`'s arguments."""

    header: PublishHeader
    vm_specs: tuple[Sealed[VmSpec], ...]
    rollout: Sealed[RolloutPolicy]

    @property
    def intent(self) -> Sealed[Intent]:
        """The intent document of what is carried here."""
        return intent_of(cluster=self.header.cluster, rollout=self.rollout, vm_specs=self.vm_specs)

    def check_content(self) -> Sealed[Intent]:
        """The intent document. Raises HashMismatch, naming the right hash, when the header's is another."""
        if len(self.vm_specs) > MAX_VMS:
            raise InvalidInput(f"{len(self.vm_specs)} VMs in one generation; the limit is {MAX_VMS}")
        intent = self.intent
        if intent.sha256 != self.header.intent_hash:
            raise HashMismatch(
                f"generation {self.header.number}: intentHash {self.header.intent_hash} does not match its content, "
                f"whose hash is {intent.sha256}"
            )
        return intent


def sign_publish(
    *,
    realm: str = "default",
    cluster: str,
    number: int,
    commit: str,
    origin: Origin,
    vm_specs: tuple[Sealed[VmSpec], ...],
    rollout: Sealed[RolloutPolicy],
    key: SecretKey,
    intent_hash: str | None = None,
) -> Publish:
    """A publish signed by CI's `key`; `intent_hash` overrides the computed one (tests of its refusal)."""
    right = intent_of(cluster=cluster, rollout=rollout, vm_specs=vm_specs).sha256
    header = PublishHeader(
        realm=realm, cluster=cluster, number=number, commit=commit, origin=origin, intent_hash=intent_hash or right
    )
    signed = header.model_copy(update={"signature": key.sign(header.message)})
    return Publish(signed, vm_specs, rollout)


@dataclass(frozen=True, slots=True)
class PublishReceipt:
    """The answer to a publish that is on disk. `created` is false when it was there already."""

    number: int
    intent_hash: str
    created: bool
