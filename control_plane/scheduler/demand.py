"""What one VM asks of the worker of each of its instances, put together once for a decision; it looks at no worker."""

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.scheduler.fleet import BASIC, Fleet
from control_plane.state import Generation, Placement, Resources, Snapshot, Spec
from schema.blueprint import LabelExpression, OnLoss, PlacementPolicy
from schema.vmspec import VmSpec

Words = tuple[tuple[str, str, tuple[str, ...]], ...]
Shape = tuple[tuple[int, ...], tuple[tuple[str, int], ...], Words, Words]
"""Amounts, unknown extras, required and preferred labels."""
_NO_WORDS: tuple[Words, Words] = ((), ())
_NO_PORTS: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Demand:
    """One VM of one generation as the scheduler sees it.

    `unknown` are extras that no worker has. VMs of equal `shape` differ in nothing that the choice of a worker looks
    at, apart from where other instances are. `depth`: how many others its affinity makes it wait for. `publishes` are
    the ports of its worker that each instance takes.
    """

    vm: str
    resources: Resources
    amounts: tuple[int, ...]
    unknown: tuple[tuple[str, int], ...]
    policy: PlacementPolicy
    keeps_volume: bool
    shape: Shape
    depth: int = 0
    publishes: frozenset[int] = frozenset()

    @property
    def priority(self) -> int:
        """0 to 100; more goes first and may take the room of less."""
        return self.policy.priority

    @property
    def is_free(self) -> bool:
        """Whether it does not matter which other instances are where, or on which labels, apart from its own."""
        return not (self.policy.spread or self.policy.affinity or self.policy.anti_affinity or self.publishes)


def published(spec: VmSpec) -> frozenset[int]:
    """The ports of a worker that an instance of `spec` takes: a worker has each once."""
    ports = spec.network.ports
    return frozenset(port.publish for port in ports if port.publish) if ports else _NO_PORTS


def keeps_volume(spec: VmSpec) -> bool:
    """Whether it has a volume that must not be made anew elsewhere."""
    return bool(spec.volumes) and any(volume.on_loss is OnLoss.KEEP for volume in spec.volumes.values())


@dataclass(frozen=True, slots=True)
class _Ask:
    """What VMs of one size and the same labels have in common."""

    resources: Resources
    amounts: tuple[int, ...]
    unknown: tuple[tuple[str, int], ...]
    shape: Shape


class Demands:
    """The demands of a decision, each worked out when it is first asked for; what they have in common, once for all."""

    def __init__(self, snapshot: Snapshot, fleet: Fleet) -> None:
        self._snapshot = snapshot
        self._fleet = fleet
        self._known: dict[tuple[str, int], Demand] = {}
        self._asks: dict[tuple[object, ...], _Ask] = {}

    def of(self, placement: Placement) -> Demand:
        """What `placement` asks for; its generation must have it."""
        key = (placement.vm, placement.generation)
        found = self._known.get(key)
        if found is None:
            generation = self._snapshot.generations[placement.generation]
            spec = generation.instances[placement.instance].value
            depth = _depth(generation.vms, spec.name, above=()) if spec.placement.affinity else 0
            ask = self._ask(spec)
            found = self._known[key] = Demand(
                spec.name,
                ask.resources,
                ask.amounts,
                ask.unknown,
                spec.placement,
                keeps_volume(spec),
                ask.shape,
                depth,
                published(spec),
            )
        return found

    def _ask(self, spec: VmSpec) -> _Ask:
        policy = spec.placement
        extras = tuple(spec.extras.items()) if spec.extras else ()
        volumes = tuple(volume.size_mb for volume in spec.volumes.values()) if spec.volumes else ()
        words = (_words(policy.require), _words(policy.prefer)) if policy.require or policy.prefer else _NO_WORDS
        key = (spec.cpu, spec.memory_mb, extras, volumes, words)
        found = self._asks.get(key)
        if found is None:
            resources, known = Resources.of(spec), self._fleet.kinds[len(BASIC) :]
            amounts = self._fleet.amounts(resources)
            unknown = tuple((name, amount) for name, amount in resources.extras if name not in known)
            found = self._asks[key] = _Ask(resources, amounts, unknown, (amounts, unknown, *words))
        return found


def priority_of(snapshot: Snapshot, placement: Placement) -> int:
    """The priority of what `placement` shall run; below all others for what shall go away."""
    spec = snapshot.spec(placement.instance, placement.generation)
    return spec.value.placement.priority if spec else -1


def waits_for(vms: Mapping[str, Spec], vm: str) -> frozenset[str]:
    """The VMs that `vm` follows by its affinity, apart from those that follow it themselves: one of them goes first."""
    mine = vms[vm].value.placement.affinity
    return frozenset(other for other in mine if other in vms and vm not in _followed(vms, other, set()))


def _followed(vms: Mapping[str, Spec], vm: str, seen: set[str]) -> set[str]:
    for other in vms[vm].value.placement.affinity:
        if other in vms and other not in seen:
            seen.add(other)
            _followed(vms, other, seen)
    return seen | {vm}


def _depth(vms: Mapping[str, Spec], vm: str, *, above: tuple[str, ...]) -> int:
    followed = [other for other in vms[vm].value.placement.affinity if other in vms and other not in (vm, *above)]
    return 1 + max((_depth(vms, other, above=(*above, vm)) for other in followed), default=-1)


def _words(expressions: tuple[LabelExpression, ...]) -> Words:
    return tuple((one.key, one.operator.value, one.values) for one in expressions)


class Traits:
    """What of a generation matters to looks at all instances: found once for each generation.

    `required` are the VMs that name required labels, `apart` maps each VM to those that will not be beside it,
    `publishing` each port of a worker to the VMs that take it.
    """

    __slots__ = ("apart", "lowest", "publishing", "required")

    def __init__(self, generation: Generation) -> None:
        policies = {name: spec.value.placement for name, spec in generation.vms.items()}
        self.lowest = min((policy.priority for policy in policies.values()), default=100)
        self.required = tuple(sorted(name for name, policy in policies.items() if policy.require))
        self.apart: dict[str, set[str]] = {}
        for name, policy in policies.items():
            for other in policy.anti_affinity:
                self.apart.setdefault(other, set()).add(name)
        self.publishing: dict[int, set[str]] = {}
        for name, spec in generation.vms.items():
            for port in published(spec.value):
                self.publishing.setdefault(port, set()).add(name)


class _AllTraits(dict[int, tuple[Generation, Traits]]):
    """By number, with the generation that they are of."""


def traits_of(snapshot: Snapshot, number: int) -> Traits | None:
    """The traits of a generation, None for one that is gone."""
    generation = snapshot.generations.get(number)
    if generation is None:
        return None
    kept = snapshot.memo.get(_AllTraits) or _AllTraits()
    known = kept.get(number)
    if known is None or known[0] is not generation:
        known = (generation, Traits(generation))
        fresh = {one: value for one, value in kept.items() if one in snapshot.generations}
        snapshot.memo.keep(_AllTraits({**fresh, number: known}))
    return known[1]


def order_of(
    demand: Demand, group: list[Placement], *, is_bound: bool, rank: int
) -> tuple[int, bool, int, int, str, int, Demand, list[Placement]]:
    """The order in which VMs get their workers: what is worth more, what has least choice, what is larger (`rank`).

    The VM's name and its generation leave nothing to what comes after them, which is what is ordered.
    """
    priority = demand.policy.priority
    return (-priority, not is_bound, demand.depth, rank, demand.vm, group[0].generation, demand, group)
