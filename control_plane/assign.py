"""What each worker is told to run, derived from a snapshot; it neither signs nor sends it.

An outline is the part of an assignment that can differ between two snapshots, without texts: revisions are raised by
comparing outlines (`revisions.py`), and texts are only put together for a worker that asks.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from control_plane.index import index_of
from control_plane.scheduler.addresses import mac_of
from control_plane.state import NOTHING, Generation, Placement, Snapshot, Spec, natural
from schema.assignment import Assignment, Entry, Fallback, GenerationProof, Peer
from schema.errors import NotFound


@dataclass(frozen=True, slots=True)
class Line:
    """An entry without its texts; `fallback` is a generation, or NOTHING; `attempt` makes another try a revision."""

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
    lines, peers = [], {}
    placed = index_of(snapshot).on.get(worker_id, {}) if worker_id in snapshot.workers else {}
    here = {placement.vm for placement in placed.values() if placement.is_assigned}
    for placement in placed.values():
        if not placement.is_assigned:
            continue
        fallback = fallback_of(snapshot, placement)
        lines.append(Line(placement.instance, placement.generation, placement.address, fallback, placement.attempt))
        for peer in peers_of(snapshot, placement):
            if peer.instance not in peers:
                peers[peer.instance] = _peer(snapshot, peer, here)
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


def assignment_for(snapshot: Snapshot, worker_id: str) -> Assignment:
    """The worker's assignment at its current revision. Raises NotFound for a worker that never logged in."""
    worker = snapshot.workers.get(worker_id)
    if worker is None:
        raise NotFound(f"there is no worker {worker_id!r}")
    found = outline(snapshot, worker_id)
    numbers = {number for line in found.lines for number in (line.generation, line.fallback) if number != NOTHING}
    return Assignment(
        realm=snapshot.realm,
        worker_id=worker_id,
        epoch=snapshot.epoch,
        revision=worker.revision,
        entries=tuple(_entry(snapshot, line) for line in found.lines),
        peers=found.peers,
        generations=tuple(_proof(snapshot.generations[number]) for number in sorted(numbers)),
    )


def fallback_of(snapshot: Snapshot, placement: Placement) -> int:
    """The generation that the worker may boot instead: what it goes back to, where that boots something else."""
    wanted, good = snapshot.wanted_spec(placement.instance), snapshot.good_spec(placement.instance)
    if wanted is None or good is None or wanted.content_hash == good.content_hash:
        return NOTHING
    return snapshot.home(placement.instance) if wanted.value.update.auto_rollback else NOTHING


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


def _entry(snapshot: Snapshot, line: Line) -> Entry:
    fallback = None
    if line.fallback != NOTHING:
        text = _existing_spec(snapshot, line.instance, line.fallback).sealed.text
        fallback = Fallback(generation=line.fallback, spec=text)
    return Entry.model_construct(  # as above
        instance=line.instance,
        generation=line.generation,
        spec=_existing_spec(snapshot, line.instance, line.generation).sealed.text,
        address=line.address,
        mac=mac_of(realm=snapshot.realm, instance=line.instance),
        fallback=fallback,
    )


def _existing_spec(snapshot: Snapshot, instance: str, generation: int) -> Spec:
    return snapshot.generations[generation].instances[instance]


def _proof(generation: Generation) -> GenerationProof:
    header = generation.header
    return GenerationProof(
        number=header.number,
        commit=header.commit,
        origin=header.origin,
        intent=generation.intent.text,
        signature=header.signature,
    )
