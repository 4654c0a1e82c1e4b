"""What the worker knows of each VM, wanted and seen, as frozen values; it decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Self

from schema.assignment import SPECS_REMEMBERED, Assignment, Entry
from schema.canonical import Sealed
from schema.errors import InvalidInput
from schema.generation import Intent
from schema.status import PullProgress, View, VmPhase
from schema.vmspec import VmSpec


class Step(StrEnum):
    """What a VM's task can be doing; one at a time."""

    PULL = "pull"
    PREPARE = "prepare"
    BOOT = "boot"
    SWITCH = "switch"
    STOP = "stop"


class StopFor(StrEnum):
    """Why a VM is stopped, which decides what it becomes."""

    REMOVE = "remove"
    REPLACE = "replace"
    RESTART = "restart"
    FAIL = "fail"
    FENCE = "fence"


@dataclass(frozen=True, slots=True)
class Content:
    """One VmSpec of one generation: what boots, and the bytes that its hashes are over."""

    generation: int
    text: str
    spec_hash: str
    content_hash: str
    spec: VmSpec = field(compare=False, repr=False)

    @classmethod
    def of(cls, generation: int, sealed: Sealed[VmSpec]) -> Self:
        """The content of a spec that came with its bytes."""
        return cls(generation, sealed.text, sealed.sha256, sealed.value.content_hash, sealed.value)

    @staticmethod
    @lru_cache(maxsize=SPECS_REMEMBERED)
    def parse(generation: int, text: str) -> "Content":
        """The content of a spec's canonical JSON text. Raises InvalidInput."""
        return Content.of(generation, Sealed.parse(VmSpec, text.encode()))

    @property
    def key(self) -> tuple[int, str]:
        """What a failed try is remembered by: a new generation with equal content is tried again (DESIGN §6)."""
        return self.generation, self.content_hash


@dataclass(frozen=True, slots=True)
class Attachment:
    """How an instance hangs on the network: interface address (`10.77.0.2/24`), gateway and MAC."""

    address: str
    gateway: str
    mac: str

    @property
    def ip(self) -> str:
        """The instance's address alone."""
        return self.address.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Desired:
    """One entry of the assignment."""

    instance: str
    content: Content
    attachment: Attachment
    fallback: Content | None = None
    cluster: str = ""

    @classmethod
    def of(cls, entry: Entry, *, cluster: str = "") -> Self:
        """The entry with its specs parsed; `cluster` is its generation's. Raises InvalidInput."""
        fallback = Content.parse(entry.fallback.generation, entry.fallback.spec) if entry.fallback else None
        if entry.address.endswith("/32"):
            raise InvalidInput(f"{entry.instance}: {entry.address} leaves no room for a gateway")
        return cls(
            instance=entry.instance,
            content=Content.parse(entry.generation, entry.spec),
            attachment=Attachment(entry.address, entry.gateway, entry.mac),
            fallback=fallback,
            cluster=cluster,
        )

    @property
    def vm(self) -> str:
        """The name of the VmSpec that this is an instance of."""
        return self.instance.rpartition("-")[0]


def desired_of(assignment: Assignment) -> dict[str, Desired]:
    """All entries by instance. Raises InvalidInput."""
    clusters = {
        proof.number: Sealed.parse(Intent, proof.intent.encode()).value.cluster for proof in assignment.generations
    }
    return {
        entry.instance: Desired.of(entry, cluster=clusters.get(entry.generation, "")) for entry in assignment.entries
    }


@dataclass(frozen=True, slots=True)
class Process:
    """A VM's hypervisor. `started_at` is on the worker's clock (seconds), before the worker's own start if adopted.

    `is_fenced`: its shim ends it when the worker's lease is over. `layers` are the contents whose closures it has
    mounted, the booted one first. `is_doubtful`: an earlier run of the worker may have ended amid a switch in place.
    """

    pid: int
    started_at: float
    attachment: Attachment
    is_fenced: bool = False
    layers: tuple[str, ...] = ()
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A content that did not get healthy by its start deadline while a fallback was there."""

    key: tuple[int, str]
    reason: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What survives a restart of the worker: the content that has been healthy, and the one that was given up."""

    proven: str = ""
    given_up: GivenUp | None = None


@dataclass(frozen=True, slots=True)
class HealthState:
    """The checks' answers so far for one process."""

    view: View = View.UNKNOWN
    failures: int = 0
    passed_once: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VmState:
    """One VM as it is now. All times are seconds on the worker's clock.

    `no_switch` is the content that it cannot be switched to in place, so that it is replaced.

    `health` is what the worker's own checks say, `guest` what the guest's do.

    `is_fenced`: its process ends with the worker's lease. `content` is what runs or is being brought up; `target` the
    key of what is wanted; `pulled` and `prepared` are content hashes that are ready; `stuck_since` is since when the
    target's closure or disks cannot be had, `pull` how far the pull in flight is, `trying_since` since when it has been
    booted without ever getting healthy.
    """

    instance: str
    phase: VmPhase = VmPhase.WAITING
    phase_since: float = 0.0
    reason: str = ""
    content: Content | None = None
    process: Process | None = None
    is_fenced: bool = False
    health: HealthState = HealthState()
    guest: HealthState = HealthState()
    healthy_since: float | None = None
    step: Step | None = None
    step_content: str = ""
    step_since: float = 0.0
    target: tuple[int, str] | None = None
    pulled: frozenset[str] = frozenset()
    prepared: frozenset[str] = frozenset()
    stuck_since: float | None = None
    trying_since: float | None = None
    failures: int = 0
    retry_at: float = 0.0
    restarts: int = 0
    restart_wanted: bool = False
    memory: Memory = Memory()
    pull: PullProgress | None = None
    no_switch: str = ""
    phase_ms: Mapping[str, int] = field(default_factory=dict)
    staged_ms: Mapping[str, int] = field(default_factory=dict)

    @property
    def complaint(self) -> str:
        """What the checks found, from whoever complains first; empty where nobody does."""
        return self.health.detail or self.guest.detail

    @property
    def is_up(self) -> bool:
        """Whether its process runs and nobody is starting or ending it."""
        return self.phase in (VmPhase.RUNNING, VmPhase.HEALTHY, VmPhase.UNHEALTHY)
