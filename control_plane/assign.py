"""What each worker is told to run, derived from a snapshot; it neither signs nor sends it.

An outline is the part of an assignment that can differ between two snapshots, without texts: revisions are raised by
comparing outlines (`revisions.py`), and texts are only put together for a worker that asks (`assignment_text.py`).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from control_plane.index import index_of
from control_plane.state import NOTHING, Generation, Placement, Snapshot, natural
from schema.assignment import Peer


class Line(NamedTuple):
    """An entry without its texts; `fallback` is a generation, or NOTHING; `attempt` makes another try a revision.

    Tens of thousands are made when a fleet changes: a frozen dataclass takes three times as long to make.
    """

    instance: str
    generation: int
    address: str
    fallback: int
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """All that decides one worker's assignment, apart from its revision."""

    lines: tuple[Line, ...] = ()
    peers: tuple[Peer, ...] = ()


def outlines(snapshot: Snapshot) -> Mapping[str, Outline]:
    """The outline of each worker."""
    return {worker_id: outline(snapshot, worker_id) for worker_id in snapshot.workers}


def outline(snapshot: Snapshot, worker_id: str) -> Outline:
    """The outline of one worker; an empty one for a worker that is not there."""
    lines: list[Line] = []
    peers: dict[str, Peer] = {}
    index = index_of(snapshot)
    placed = index.on.get(worker_id, {}) if worker_id in snapshot.workers else {}
    here = [placement for placement in placed.values() if placement.is_assigned]
    for placement in here:
        fallback = fallback_of(snapshot, placement)
        lines.append(Line(placement.instance, placement.generation, placement.address, fallback, placement.attempt))
    if index.targets or index.reaching:
        vms = {placement.vm for placement in here}
        for placement in here:
            for peer in peers_of(snapshot, placement):
                if peer.instance not in peers:
                    peers[peer.instance] = _peer(snapshot, peer, vms)
    return Outline(
        tuple(sorted(lines, key=lambda line: natural(line.instance))),
        tuple(peers[instance] for instance in sorted(peers, key=natural)),
    )


def peers_of(snapshot: Snapshot, placement: Placement) -> Iterator[Placement]:
    """The assigned ones that an assigned `placement` may reach or be reached by, by what each may connect to."""
    index = index_of(snapshot)
    for vm in index.targets.get(placement.instance, ()):
        for peer in index.of_vm.get(vm, {}).values():
            if peer.is_assigned and peer.instance != placement.instance:
                yield peer
    for peer in index.reaching.get(placement.vm, {}).values():
        if peer.instance != placement.instance:
            yield peer


def fallback_of(snapshot: Snapshot, placement: Placement) -> int:
    """The generation that the worker may boot instead: what it goes back to, where that boots something else."""
    home = snapshot.home(placement.instance)
    if home == placement.generation:
        return NOTHING
    alike, key = _alike(snapshot), (placement.vm, placement.generation, home)
    if key in alike:
        return NOTHING
    wanted, good = snapshot.spec(placement.instance, placement.generation), snapshot.spec(placement.instance, home)
    if wanted is None or good is None:
        return NOTHING
    if wanted is good or wanted.content_hash == good.content_hash:
        alike.add(key)
        return NOTHING
    return home if wanted.value.update.auto_rollback else NOTHING


@dataclass(frozen=True, slots=True)
class _Alike:
    """VMs that boot the same in two generations: asked once, not for each of their replicas."""

    generations: Mapping[int, Generation]
    found: set[tuple[str, int, int]] = field(default_factory=set)


def _alike(snapshot: Snapshot) -> set[tuple[str, int, int]]:
    kept = snapshot.memo.get(_Alike)
    if kept is None or kept.generations is not snapshot.generations:
        kept = _Alike(snapshot.generations)
        snapshot.memo.keep(kept)
    return kept.found


def _peer(snapshot: Snapshot, placement: Placement, here: Collection[str]) -> Peer:
    worker = snapshot.workers[placement.worker_id]
    spec = snapshot.spec(placement.instance, placement.generation)
    connect = spec.value.network.connect if spec else ()
    return Peer.model_construct(  # of our own making: the worker checks it
        instance=placement.instance,
        address=placement.address.partition("/")[0],
        worker_id=worker.worker_id,
        worker_address=worker.facts.address,
        subnet=worker.subnet,
        ports=tuple(sorted(target for target in connect if target.partition(":")[0] in here)),
    )
