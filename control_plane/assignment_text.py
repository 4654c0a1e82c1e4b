"""A worker's assignment as the bytes that are signed, made straight from a snapshot; it signs and sends nothing.

A change of generation makes thousands of assignments at once, which have their long texts in common: those are put into
RFC 8785 form once for each generation, and an assignment is joined from them. A test reads what is made here with the
model that workers read it with, and holds that it is in canonical form.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from control_plane.assign import Line, outline
from control_plane.scheduler.addresses import mac_of
from control_plane.state import NOTHING, Generation, Snapshot
from schema.assignment import GenerationProof
from schema.canonical import canonical_bytes
from schema.errors import NotFound


def assignment_text(snapshot: Snapshot, worker_id: str) -> tuple[bytes, tuple[bytes, ...]]:
    """The canonical JSON of `schema.assignment.Assignment`: the worker's, at its current revision; and its intents.

    Raises NotFound for a worker that never logged in.
    """
    worker = snapshot.workers.get(worker_id)
    if worker is None:
        raise NotFound(f"there is no worker {worker_id!r}")
    found, texts = outline(snapshot, worker_id), _texts_of(snapshot)
    numbers = sorted({n for line in found.lines for n in (line.generation, line.fallback) if n != NOTHING})
    peers = [peer.model_dump(mode="json", by_alias=True) for peer in found.peers]
    # Joined once: what is this long is copied and mapped anew with each step between.
    pieces = [b'{"entries":[']
    for line in found.lines:
        pieces += _entry(texts, line, realm=snapshot.realm)
        pieces.append(b",")
    if found.lines:
        pieces.pop()
    pieces += (
        f'],"epoch":"{snapshot.epoch}","generations":['.encode(),
        b",".join([texts[number].proof for number in numbers]),
        b'],"peers":',
        canonical_bytes(peers) if peers else b"[]",
        f',"realm":"{snapshot.realm}","revision":{worker.revision},"workerId":"{worker_id}"}}'.encode(),
    )
    return b"".join(pieces), tuple([snapshot.generations[number].intent.data for number in numbers])


@dataclass(frozen=True, slots=True)
class _Texts:
    """What of a generation is in assignments, in canonical form: its proof, and by VM the quoted text of its spec."""

    generation: Generation
    proof: bytes
    specs: dict[str, bytes] = field(default_factory=dict)

    def spec(self, vm: str) -> bytes:
        """The quoted text of a VM's spec, kept from the first time on."""
        found = self.specs.get(vm)
        if found is None:
            found = self.specs[vm] = canonical_bytes(self.generation.vms[vm].sealed.text)
        return found


class _AllTexts(dict[int, _Texts]):
    """By the number of the generation."""


def _texts_of(snapshot: Snapshot) -> _AllTexts:
    kept = snapshot.memo.get(_AllTexts) or _AllTexts()
    if len(kept) == len(snapshot.generations) and all(
        number in kept and kept[number].generation is generation for number, generation in snapshot.generations.items()
    ):
        return kept
    found = _AllTexts()
    for number, generation in snapshot.generations.items():
        known = kept.get(number)
        found[number] = known if known and known.generation is generation else _Texts(generation, _proof(generation))
    snapshot.memo.keep(found)
    return found


def _entry(texts: _AllTexts, line: Line, *, realm: str) -> Iterator[bytes]:
    # Instances, addresses and MACs have nothing that JSON would escape.
    vm = line.instance.rpartition("-")[0]
    yield f'{{"address":"{line.address}",'.encode()
    if line.fallback != NOTHING:
        yield f'"fallback":{{"generation":{line.fallback},"spec":'.encode()
        yield texts[line.fallback].spec(vm)
        yield b"},"
    mac = mac_of(realm=realm, instance=line.instance)
    yield f'"generation":{line.generation},"instance":"{line.instance}","mac":"{mac}","spec":'.encode()
    yield texts[line.generation].spec(vm)
    yield b"}"


def _proof(generation: Generation) -> bytes:
    header = generation.header
    proof = GenerationProof(
        number=header.number,
        commit=header.commit,
        origin=header.origin,
        intent_hash=header.intent_hash,
        signature=header.signature,
    )
    return canonical_bytes(proof.model_dump(mode="json", by_alias=True, exclude_none=True))
