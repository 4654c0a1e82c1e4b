"""How much of each worker is free during one decision; it chooses no worker.

A ledger starts from a snapshot and is written to while a decision is being made, so that its later parts see what its
earlier ones took. It is a value of that one decision and is thrown away with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.scheduler.addresses import address_in, free_host, host_of
from control_plane.state import NO_RESOURCES, Missing, Resources, Snapshot, WorkerRecord

VIRTUAL_CPU = "vCPUs"
MEMORY = "MiB of memory"
ADDRESS = "address"


@dataclass(slots=True)
class Room:
    """What is left on one worker. The numbers may be below zero where a worker has shrunk."""

    worker: WorkerRecord
    cpu: int
    memory_mb: int
    extras: dict[str, int]
    hosts: set[int]
    instances: dict[str, int]

    def missing(
        self, needed: Resources, *, held: Resources = NO_RESOURCES, address: bool = True
    ) -> tuple[Missing, ...]:
        """What lacks for `needed` where `held` is given back first; nothing when it fits."""
        worker_id = self.worker.worker_id
        given = dict(held.extras)
        wanted = [
            (VIRTUAL_CPU, needed.cpu, self.cpu + held.cpu),
            (MEMORY, needed.memory_mb, self.memory_mb + held.memory_mb),
            *((name, amount, self.extras.get(name, 0) + given.get(name, 0)) for name, amount in needed.extras),
        ]
        found = [Missing(worker_id, what, amount, max(free, 0)) for what, amount, free in wanted if amount > free]
        if address and free_host(self.hosts) is None:
            found.append(Missing(worker_id, ADDRESS, 1, 0))
        return tuple(found)

    def take(self, needed: Resources, *, held: Resources = NO_RESOURCES) -> None:
        """Reserve `needed` in place of `held`."""
        self.cpu += held.cpu - needed.cpu
        self.memory_mb += held.memory_mb - needed.memory_mb
        for name, amount in held.extras:
            self.extras[name] = self.extras.get(name, 0) + amount
        for name, amount in needed.extras:
            self.extras[name] = self.extras.get(name, 0) - amount

    def take_address(self, vm: str) -> str:
        """Reserve the lowest free address for an instance of `vm`; `missing` has said that there is one."""
        host = free_host(self.hosts)
        if host is None:
            raise ValueError(f"no address is free on {self.worker.worker_id}")
        self.hosts.add(host)
        self.instances[vm] = self.instances.get(vm, 0) + 1
        return address_in(self.worker.subnet, host)


def ledger(snapshot: Snapshot, *, cpu_overcommit: float) -> Mapping[str, Room]:
    """The room on each worker, in the order of their names. `cpu_overcommit` vCPUs are placed for each real one."""
    rooms = {
        worker_id: Room(
            worker=worker,
            cpu=int(worker.facts.cpu * cpu_overcommit),
            memory_mb=worker.facts.memory_mb,
            extras=dict(worker.facts.extras),
            hosts=set(),
            instances={},
        )
        for worker_id, worker in sorted(snapshot.workers.items())
    }
    for placement in snapshot.placements.values():
        room = rooms.get(placement.worker_id)
        if room:
            room.take(placement.reserved)
            room.hosts.add(host_of(placement.address))
            room.instances[placement.vm] = room.instances.get(placement.vm, 0) + 1
    return rooms
