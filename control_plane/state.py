"""What the control plane knows and keeps: one frozen snapshot and its parts; nothing here changes or stores it.

All of it is on disk. What workers report is not in it (`observations.py`): reports are memory only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from control_plane.identity.records import NO_IDENTITIES, IdentityState
from control_plane.liveness.records import NO_LIVENESS, LivenessState
from schema.blueprint import Gate, RolloutPolicy
from schema.canonical import Sealed
from schema.generation import Intent, PublishHeader
from schema.origin import Origin
from schema.status import RolloutState, WorkerFacts
from schema.vmspec import VmSpec

T = TypeVar("T")

NOWHERE = ""
"""The worker of a placement that has none."""
NOTHING = 0
"""The generation of a placement that is to go away for good."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a VM takes of a worker: whole vCPUs, MiB of memory and disk, and named extras in order of their names."""

    cpu: int = 0
    memory_mb: int = 0
    extras: tuple[tuple[str, int], ...] = ()
    disk_mb: int = 0

    @classmethod
    def of(cls, spec: VmSpec) -> "Resources":
        """What one instance of `spec` takes."""
        disk_mb = sum(volume.size_mb for volume in spec.volumes.values())
        return cls(spec.cpu, spec.memory_mb, tuple(sorted(spec.extras.items())), disk_mb)

    def at_least(self, other: "Resources") -> "Resources":
        """The larger of both in each dimension: room for either."""
        mine, theirs = dict(self.extras), dict(other.extras)
        extras = tuple((name, max(mine.get(name, 0), theirs.get(name, 0))) for name in sorted({*mine, *theirs}))
        disk_mb = max(self.disk_mb, other.disk_mb)
        return Resources(max(self.cpu, other.cpu), max(self.memory_mb, other.memory_mb), extras, disk_mb)


NO_RESOURCES = Resources()


@dataclass(frozen=True, slots=True)
class Spec:
    """A VmSpec as it came, with both of its hashes computed once."""

    sealed: Sealed[VmSpec]
    sha256: str
    content_hash: str

    @classmethod
    def of(cls, sealed: Sealed[VmSpec]) -> "Spec":
        """The spec with its hashes."""
        return cls(sealed, sealed.sha256, sealed.value.content_hash)

    @property
    def value(self) -> VmSpec:
        """The spec itself."""
        return self.sealed.value


@dataclass(frozen=True, slots=True)
class Generation:
    """An accepted generation with the bytes as received. `published_at_ms` is Unix milliseconds."""

    header: PublishHeader
    intent: Sealed[Intent]
    rollout: Sealed[RolloutPolicy]
    vms: Mapping[str, Spec]
    published_at_ms: int
    instances: Mapping[str, Spec] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Expand the replicas once: instance → spec, in the order of the names."""
        expanded = {name: spec for spec in self.vms.values() for name in spec.value.instances}
        object.__setattr__(self, "instances", {name: expanded[name] for name in sorted(expanded, key=natural)})

    @property
    def number(self) -> int:
        """Its number; generations count from 1."""
        return self.header.number


class ReasonCode(StrEnum):
    """Why an instance is where it is."""

    PLACED = "placed"
    VOLUME = "volume"
    KEPT = "kept"
    MOVING = "moving"
    REMOVED = "removed"
    REFUSED = "refused"
    WAITING = "waiting"
    PREEMPTED = "preempted"
    DRAINED = "drained"
    MISPLACED = "misplaced"
    EVICTED = "evicted"
    RELEASED = "released"

    @property
    def clears_worker(self) -> bool:
        """Whether an instance that leaves for this must be gone before it may be anywhere again."""
        return self in (ReasonCode.PREEMPTED, ReasonCode.DRAINED, ReasonCode.MISPLACED)


@dataclass(frozen=True, slots=True)
class Missing:
    """What one worker lacked for an instance. Amounts are of `what`: vCPUs, MiB, addresses or extras.

    `workers` above 1: as many lack the same, and the one that is named has the most of it.
    """

    worker_id: str
    what: str
    needed: int = 0
    free: int = 0
    workers: int = 1

    def __str__(self) -> str:
        amount = f" needs {self.needed}, free {self.free}" if self.needed else ""
        if self.workers == 1:
            return f"{self.worker_id}: {self.what}{amount}"
        return f"{self.workers} workers such as {self.worker_id}: {self.what}{amount}"


@dataclass(frozen=True, slots=True)
class PlacementReason:
    """Why there, or why nowhere: then `missing` says what each worker lacked."""

    code: ReasonCode
    text: str
    missing: tuple[Missing, ...] = ()

    def __str__(self) -> str:
        return "; ".join((self.text, *(str(missing) for missing in self.missing)))


@dataclass(frozen=True, slots=True)
class Placement:
    """One instance, the generation that it shall run and where.

    `generation` is NOTHING when it shall go away; `worker_id` is NOWHERE when it is not placed. `leaving`: its entry
    is withdrawn, and what it reserves stays reserved until its worker reports it gone. `address` carries the prefix
    length of the worker's subnet. `revision` is the worker's revision that first carried this target. `attempt` counts
    how often an operator asked for another try of it: a worker tries again what it went back from with each revision.
    """

    instance: str
    generation: int
    worker_id: str = NOWHERE
    address: str = ""
    reserved: Resources = NO_RESOURCES
    leaving: bool = False
    revision: int = 0
    reason: PlacementReason = PlacementReason(ReasonCode.REFUSED, "not placed yet")
    attempt: int = 0

    @property
    def is_assigned(self) -> bool:
        """Whether its worker's assignment has an entry for it."""
        return self.worker_id != NOWHERE and not self.leaving

    @property
    def vm(self) -> str:
        """The VM that it is an instance of."""
        return self.instance.rpartition("-")[0]


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker that has logged in once: its facts, its /24, and the revision of its assignment."""

    worker_id: str
    facts: WorkerFacts
    subnet: str
    revision: int = 0


class ChangeKind(StrEnum):
    """What a rollout does to an instance."""

    NEW = "new"
    CHANGED = "changed"
    LIVE = "live"
    SAME = "same"
    REMOVED = "removed"
    HELD = "held"

    @property
    def is_gated(self) -> bool:
        """Whether the rollout waits for its health."""
        return self in (ChangeKind.NEW, ChangeKind.CHANGED, ChangeKind.LIVE)

    @property
    def at_once(self) -> bool:
        """Whether all of this kind in a wave are set to the new generation as soon as it opens."""
        return self in (ChangeKind.NEW, ChangeKind.LIVE, ChangeKind.SAME)


@dataclass(frozen=True, slots=True)
class WaveProgress:
    """A part of what a rollout changes, in the order in which it changes, and how far it is.

    `opened_ms` and `finished_ms` are Unix milliseconds, None before that; `delay_ms` counts from when the wave before
    it finished (the first: from the rollout's start). `promoted_by` is who approved it.
    """

    instances: tuple[str, ...]
    delay_ms: int = 0
    gate: Gate = Gate.AUTO
    opened_ms: int | None = None
    finished_ms: int | None = None
    promoted_by: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """The walk to one generation.

    `placed_ms`: from publish until all that is new had a worker, 0 before that. `failed` maps the instances that did
    not get healthy to the reason. `actor` is who paused or aborted it. `started_ms` and `ended_ms` are Unix
    milliseconds, 0 before that.
    """

    generation: int
    state: RolloutState
    reason: str = ""
    kinds: Mapping[str, ChangeKind] = field(default_factory=dict)
    placed_ms: int = 0
    waves: tuple[WaveProgress, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    actor: str = ""
    started_ms: int = 0
    ended_ms: int = 0

    @property
    def changes_anything(self) -> bool:
        """Whether it has anything to do: to bring, to change or to remove."""
        return any(kind.is_gated or kind is ChangeKind.REMOVED for kind in self.kinds.values())


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """An operator's pin of VMs to an earlier generation.

    `against` maps each pinned VM to the contentHash that the newest generation had for it at that time, empty where it
    had none: another one than this replaces the hold once it is healthy. `created_at_ms` is Unix milliseconds.
    """

    id: str
    generation: int
    against: Mapping[str, str]
    reason: str = ""
    actor: str = ""
    created_at_ms: int = 0

    @property
    def vms(self) -> tuple[str, ...]:
        """The pinned VMs, in the order of their names."""
        return tuple(sorted(self.against))


class Memo:
    """What was derived from a recent snapshot of one line of them, by its type; without it only time is lost.

    A snapshot and those that were made from it share one. Whoever keeps a value here checks that it is of the maps
    (by identity) that it asks about.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[type[Any], Any] = {}

    def get(self, kind: type[T]) -> T | None:
        """The value of `kind` that was kept last."""
        return self._kept.get(kind)

    def keep(self, value: object) -> None:
        """Keep `value` in place of the last one of its type."""
        self._kept[type(value)] = value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All durable state of one realm at one moment.

    `last_good` maps instances to the generation that a rollout last succeeded with; `holds` are by id;
    `volume_bindings` maps instances to the worker that holds their volumes; `identity` is who may come in; `liveness`
    which workers take nothing new.
    """

    epoch: str
    realm: str = "default"
    origin: Origin | None = None
    generations: Mapping[int, Generation] = field(default_factory=dict)
    rollouts: Mapping[int, Rollout] = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)
    workers: Mapping[str, WorkerRecord] = field(default_factory=dict)
    last_good: Mapping[str, int] = field(default_factory=dict)
    volume_bindings: Mapping[str, str] = field(default_factory=dict)
    holds: Mapping[str, HoldRecord] = field(default_factory=dict)
    identity: IdentityState = NO_IDENTITIES
    liveness: LivenessState = NO_LIVENESS
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)

    def is_other_fleet_than(self, before: "Snapshot") -> bool:
        """Whether anything but `identity` is another object than `before`: who asks to join concerns no placement."""
        return any(
            getattr(self, one.name) is not getattr(before, one.name)
            for one in fields(self)
            if one.compare and one.name != "identity"
        )

    @property
    def newest(self) -> Generation | None:
        """The generation with the highest number."""
        return self.generations[max(self.generations)] if self.generations else None

    @property
    def rollout(self) -> Rollout | None:
        """The newest generation's rollout, over or not."""
        return self.rollouts.get(max(self.generations)) if self.generations else None

    def wanted(self, instance: str) -> int:
        """The generation that `instance` shall run now; NOTHING for none."""
        placement = self.placements.get(instance)
        return placement.generation if placement else NOTHING

    def spec(self, instance: str, generation: int) -> Spec | None:
        """The spec of `instance` in `generation`, None where that generation has none or is gone."""
        found = self.generations.get(generation)
        return found.instances.get(instance) if found else None

    def wanted_spec(self, instance: str) -> Spec | None:
        """The spec that `instance` shall run now."""
        return self.spec(instance, self.wanted(instance))

    def hold_of(self, instance: str) -> HoldRecord | None:
        """The hold on the VM of `instance`; a VM is in one at most."""
        vm = instance.rpartition("-")[0]
        return next((hold for hold in self.holds.values() if vm in hold.against), None)

    def home(self, instance: str) -> int:
        """The generation that `instance` goes back to: that at which it is held, else its last good one, or NOTHING."""
        hold = self.hold_of(instance) if self.holds else None
        if hold is None:
            return self.last_good.get(instance, NOTHING)
        return hold.generation if self.spec(instance, hold.generation) else NOTHING

    def good_spec(self, instance: str) -> Spec | None:
        """The spec that `instance` goes back to."""
        return self.spec(instance, self.home(instance))

    def placed_on(self, worker_id: str) -> Iterator[Placement]:
        """The placements that reserve something on a worker, the leaving ones too."""
        return (placement for placement in self.placements.values() if placement.worker_id == worker_id)


def natural(instance: str) -> tuple[str, int]:
    """A sort key by which `web-2` comes before `web-10`."""
    vm, _, number = instance.rpartition("-")
    return vm, int(number)
