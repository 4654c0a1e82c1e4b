"""Placements by worker, by VM and by what they reach, kept up with the snapshot by difference; it changes no snapshot.

Most questions about a cluster concern one worker or one VM. Asking all placements each time costs more than the answer
as soon as there are thousands, so the answers are kept in the snapshot's memo and follow it by what has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.deltas import difference
from control_plane.state import NOTHING, NOWHERE, Placement, Snapshot

Group = dict[str, Placement]


@dataclass(frozen=True, slots=True)
class Index:
    """What `placements` are, looked at from elsewhere. Nothing of it is ever written to once it is made.

    `on`: by worker, all that reserve something there; `of_vm`: by VM; `reaching`: by VM, the assigned ones that may
    connect to it, and `targets` the same by instance; `unplaced` are wanted and have no worker; `counts`: how many want
    each generation.
    """

    placements: Mapping[str, Placement] = field(default_factory=dict)
    on: dict[str, Group] = field(default_factory=dict)
    of_vm: dict[str, Group] = field(default_factory=dict)
    reaching: dict[str, Group] = field(default_factory=dict)
    targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unplaced: Group = field(default_factory=dict)
    leaving: Group = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Recent:
    """Two of them: a change is looked at from both sides."""

    last: Index = field(default_factory=Index)
    before: Index = field(default_factory=Index)


def index_of(snapshot: Snapshot) -> Index:
    """The index of `snapshot`. It costs what has changed since the last one of this line."""
    recent = snapshot.memo.get(_Recent) or _Recent()
    for known in (recent.last, recent.before):
        if known.placements is snapshot.placements:
            return known
    found = _advanced(recent.last, snapshot)
    snapshot.memo.keep(_Recent(found, recent.last))
    return found


def reached(snapshot: Snapshot, placement: Placement) -> tuple[str, ...]:
    """The VMs that an assigned instance may connect to, by what it shall run."""
    if not placement.is_assigned:
        return ()
    spec = snapshot.spec(placement.instance, placement.generation)
    if spec is None or not spec.value.network.connect:
        return ()
    return tuple(sorted({target.partition(":")[0] for target in spec.value.network.connect}))


def _advanced(known: Index, snapshot: Snapshot) -> Index:
    on, of_vm, reaching = _Groups(known.on), _Groups(known.of_vm), _Groups(known.reaching)
    targets, unplaced, leaving = dict(known.targets), dict(known.unplaced), dict(known.leaving)
    counts = dict(known.counts)
    asked: dict[tuple[str, int], tuple[str, ...]] = {}
    for instance in difference(known.placements, snapshot.placements):
        old, new = known.placements.get(instance), snapshot.placements.get(instance)
        vm = instance.rpartition("-")[0]
        if old is not None:
            counts[old.generation] -= 1
            if new is None or new.worker_id != old.worker_id:
                on.drop(old.worker_id, instance)
            if new is None:
                of_vm.drop(vm, instance)
            for target in targets.pop(instance, ()):
                reaching.drop(target, instance)
            unplaced.pop(instance, None)
            leaving.pop(instance, None)
        if new is None:
            continue
        counts[new.generation] = counts.get(new.generation, 0) + 1
        of_vm.put(vm, new)
        if new.worker_id != NOWHERE:
            on.put(new.worker_id, new)
        elif new.generation != NOTHING:
            unplaced[instance] = new
        if new.leaving:
            leaving[instance] = new
        if not new.is_assigned:
            continue
        if (vm, new.generation) not in asked:  # it is the same for all replicas: none wants what has no spec for it
            asked[vm, new.generation] = reached(snapshot, new)
        for target in asked[vm, new.generation]:
            targets[instance] = (*targets.get(instance, ()), target)
            reaching.put(target, new)
    used = {number: count for number, count in counts.items() if count}
    return Index(snapshot.placements, on.groups, of_vm.groups, reaching.groups, targets, unplaced, leaving, used)


class _Groups:
    """Groups that are copied when they are first written to, so that the index before stays what it was."""

    def __init__(self, groups: Mapping[str, Group]) -> None:
        self.groups = dict(groups)
        self._own: set[str] = set()

    def _writable(self, key: str) -> Group:
        if key not in self._own:
            self._own.add(key)
            self.groups[key] = dict(self.groups.get(key, {}))
        return self.groups[key]

    def put(self, key: str, placement: Placement) -> None:
        self._writable(key)[placement.instance] = placement

    def drop(self, key: str, instance: str) -> None:
        if instance not in self.groups.get(key, {}):
            return
        group = self._writable(key)
        del group[instance]
        if not group:
            self._own.discard(key)
            del self.groups[key]
