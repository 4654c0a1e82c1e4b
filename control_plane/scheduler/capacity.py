"""How much of each worker is free during one decision; it chooses no worker.

A ledger starts from a snapshot and is written to while a decision is being made, so that its later parts see what its
earlier ones took. It is a value of that one decision and is thrown away with it; what it starts from is kept in the
snapshot's memo and follows the placements worker by worker.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from control_plane.index import Group, index_of
from control_plane.scheduler.addresses import ADDRESSES, address_in, free_host, host_bit, host_of
from control_plane.scheduler.fleet import ADDRESS_ROW, DISK_ROW, Amounts, Fleet, Overcommit, fleet_of
from control_plane.state import Missing, Placement, Resources, Snapshot


@dataclass(frozen=True, slots=True)
class _Start:
    """What was free before a decision, and what it was made from."""

    fleet: Fleet
    on: Mapping[str, Group]
    bindings: Mapping[str, str]
    free: Amounts
    hosts: tuple[int, ...]
    waiting_disks: Mapping[str, int]


class Ledger:
    """What is left on each worker: `free` by row and column, `hosts` the addresses in use as bits.

    `cells` are the same numbers in the same memory, row after row, because single ones are dear to get from numpy's
    arrays, and dearer to look up among tens of thousands of objects than any processor's cache holds. They may be
    below zero where a worker has shrunk. `version` rises with each change.
    """

    def __init__(self, snapshot: Snapshot, start: _Start) -> None:
        self.fleet = start.fleet
        self.cells = array("q", start.free.tobytes())
        self.free: Amounts = np.frombuffer(self.cells, dtype=np.int64).reshape(start.free.shape)
        self.hosts = list(start.hosts)
        self.version = 0
        self._index = index_of(snapshot)
        self._counts: dict[str, dict[int, int]] = {}
        self._expected: dict[str, set[int]] = {}
        self._dismissed: dict[str, list[Placement]] = {}
        self._waiting_disks = start.waiting_disks

    def fits(self, position: int, amounts: Sequence[int]) -> bool:
        """Whether `amounts` fit on one worker. What is not asked for does not matter, even where it is overdrawn."""
        cells, at = self.cells, position
        for amount in amounts:
            if amount and cells[at] < amount:
                return False
            at += len(self.hosts)
        return True

    def missing(self, position: int, amounts: Sequence[int], *, held: Sequence[int]) -> tuple[Missing, ...]:
        """What lacks on one worker for `amounts` in place of what is `held` there; nothing when they fit."""
        name = self.fleet.name(position)
        rows = zip(self.fleet.kinds, amounts, self.free[:, position].tolist(), held, strict=True)
        return tuple(
            Missing(name, kind, amount, max(free + given, 0))
            for kind, amount, free, given in rows
            if amount > max(free + given, given)
        )

    def take(self, position: int, amounts: Sequence[int]) -> None:
        """Reserve `amounts` (below zero: give them back)."""
        self.version += 1
        cells, at = self.cells, position
        for amount in amounts:
            if amount:
                cells[at] -= amount
            at += len(self.hosts)

    def take_address(self, position: int, vm: str) -> str:
        """The lowest free address for an instance of `vm`, which from now on counts as being there.

        `take` must have counted the address, after `fits` has said that there is one.
        """
        host = free_host(self.hosts[position])
        if host is None:
            raise ValueError(f"no address is free on {self.fleet.name(position)}")
        self.hosts[position] |= host_bit(host)
        counts = self.counts(vm)
        counts[position] = counts.get(position, 0) + 1
        return address_in(self.fleet.prefixes[position], host)

    def counts(self, vm: str) -> dict[int, int]:
        """How many instances of `vm` hold something on each worker that has any, the leaving ones too."""
        found = self._counts.get(vm)
        if found is None:
            there = self._index.of_vm.get(vm)
            found = self._counts[vm] = self._counted(there.values()) if there else {}
        return found

    def expect(self, position: int, vm: str) -> None:
        """An instance of `vm` waits for room on a worker: what must not be beside it shall not go there meanwhile."""
        self._expected.setdefault(vm, set()).add(position)

    def dismiss(self, placement: Placement) -> None:
        """An instance is told to leave: nothing may count on being beside it."""
        self._dismissed.setdefault(placement.vm, []).append(placement)

    def claimed(self, vm: str) -> set[int]:
        """The workers that have an instance of `vm`, or will."""
        return {*self.counts(vm), *self._expected.get(vm, ())}

    def staying(self, vm: str) -> dict[int, int]:
        """The same without those that leave."""
        there = self._index.of_vm.get(vm, {})
        leaving = self._counted([*(one for one in there.values() if one.leaving), *self._dismissed.get(vm, ())])
        counts = self.counts(vm)
        return {at: count - leaving.get(at, 0) for at, count in counts.items() if count > leaving.get(at, 0)}

    def _counted(self, placements: Iterable[Placement]) -> dict[int, int]:
        found: dict[int, int] = {}
        for placement in placements:
            position = self.fleet.position.get(placement.worker_id)
            if position is not None:
                found[position] = found.get(position, 0) + 1
        return found

    def waiting_disk_mb(self, instance: str) -> int:
        """What the volumes of an instance that is not placed take on the worker that holds them."""
        return self._waiting_disks.get(instance, 0)


def ledger(snapshot: Snapshot, overcommit: Overcommit) -> Ledger:
    """The room on each worker as `snapshot` leaves it."""
    fleet, index = fleet_of(snapshot, overcommit), index_of(snapshot)
    known = snapshot.memo.get(_Start)
    if known is None or known.fleet is not fleet:
        known = _Start(fleet, {}, {}, fleet.capacity, (0,) * len(fleet), {})
    if known.on is not index.on or known.bindings is not snapshot.volume_bindings:
        known = _advanced(snapshot, known, index.on)
        snapshot.memo.keep(known)
    return Ledger(snapshot, known)


def _advanced(snapshot: Snapshot, known: _Start, on: Mapping[str, Group]) -> _Start:
    fleet, free, hosts = known.fleet, known.free.copy(), list(known.hosts)
    disks = _waiting_disks(snapshot)
    stale = {snapshot.volume_bindings.get(one, "") for one in disks}
    stale |= {known.bindings.get(one, "") for one in known.waiting_disks}
    for position, record in enumerate(fleet.records):
        name = record.worker_id
        if known.on.get(name) is on.get(name) and name not in stale:
            continue
        free[:, position] = fleet.capacity[:, position]
        hosts[position] = 0
        for placement in on.get(name, {}).values():
            free[:, position] -= fleet.amounts(placement.reserved)
            hosts[position] |= host_bit(host_of(placement.address))
        free[ADDRESS_ROW, position] = ADDRESSES - hosts[position].bit_count()
        free[DISK_ROW, position] -= sum(mb for one, mb in disks.items() if snapshot.volume_bindings[one] == name)
    return _Start(fleet, on, snapshot.volume_bindings, free, tuple(hosts), disks)


def _waiting_disks(snapshot: Snapshot) -> dict[str, int]:
    """The volumes whose instance is not placed: they stay on their worker. MiB by instance."""
    found = {}
    for instance, worker_id in snapshot.volume_bindings.items():
        placement = snapshot.placements.get(instance)
        if placement is None or placement.worker_id != worker_id:
            found[instance] = _volumes_mb(snapshot, instance)
    return found


def _volumes_mb(snapshot: Snapshot, instance: str) -> int:
    """By what it shall run, else by the newest generation that has it."""
    spec = snapshot.wanted_spec(instance)
    for number in sorted(snapshot.generations, reverse=True) if spec is None else ():
        spec = spec or snapshot.spec(instance, number)
    return Resources.of(spec.value).disk_mb if spec else 0
