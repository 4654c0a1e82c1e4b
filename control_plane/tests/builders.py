"""Builders for the tests of the control plane: one for each noun."""

import hashlib
from typing import Any

from control_plane.assignment_text import assignment_text
from control_plane.events import apply
from control_plane.identity.changes import AdmissionChanged
from control_plane.identity.records import AdmissionRecord
from control_plane.state import Generation, Resources, Snapshot, Spec, WorkerRecord
from schema.assignment import Assignment, SignedAssignment, read_assignment
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed
from schema.generation import Publish, sign_publish
from schema.operations import Admission
from schema.origin import Origin
from schema.signing import SecretKey
from schema.status import WorkerFacts
from schema.vmspec import VmSpec

CI_KEY = SecretKey.from_seed("ci", b"c" * 32)
MASTER_KEY = SecretKey.from_seed("control-plane", b"m" * 32)
ORIGIN = Origin(repository="demo/example", branch="main")
EPOCH = "e" * 32
_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


def a_store_path(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"/nix/store/{''.join(_ALPHABET[byte % 32] for byte in digest)}-system"


def a_spec(name: str = "web", content: str = "1", **fields: Any) -> VmSpec:
    """A VM whose contentHash follows `content`."""
    toplevel = a_store_path(f"{name} {content}")
    return VmSpec(
        name=name,
        system=f"nixosConfigurations.{name}.system",
        toplevel=toplevel,
        kernel=f"{toplevel}/kernel",
        initrd=f"{toplevel}/initrd",
        cmdline=f"init={toplevel}/init",
        **{"cpu": 1, "memory_mb": 256, **fields},
    )


def a_publish(
    number: int,
    *specs: VmSpec,
    rollout: RolloutPolicy | None = None,
    key: SecretKey = CI_KEY,
    origin: Origin = ORIGIN,
    cluster: str = "demo",
    realm: str = "default",
    intent_hash: str | None = None,
) -> Publish:
    return sign_publish(
        realm=realm,
        cluster=cluster,
        number=number,
        commit=hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest(),
        origin=origin,
        vm_specs=tuple(Sealed.of(spec) for spec in specs),
        rollout=Sealed.of(rollout or RolloutPolicy()),
        key=key,
        intent_hash=intent_hash,
    )


def a_generation(number: int, *specs: VmSpec, **fields: Any) -> Generation:
    publish = a_publish(number, *specs, **fields)
    return Generation(
        header=publish.header,
        intent=publish.intent,
        rollout=publish.rollout,
        vms={spec.value.name: Spec.of(spec) for spec in publish.vm_specs},
        published_at_ms=1000 * number,
    )


def some_facts(cpu: int = 8, memory_mb: int = 8192, **fields: Any) -> WorkerFacts:
    return WorkerFacts(cpu=cpu, memory_mb=memory_mb, **fields)


def a_snapshot(**workers: WorkerFacts) -> Snapshot:
    """An empty cluster with these workers (none: `w0` and `w1`)."""
    facts = workers or {"w0": some_facts(), "w1": some_facts()}
    records = {name: WorkerRecord(name, fact, f"10.77.{n}.0/24") for n, (name, fact) in enumerate(facts.items())}
    return Snapshot(epoch=EPOCH, workers=records)


def key_of(worker_id: str) -> SecretKey:
    """The key that the worker of that name has in tests."""
    return SecretKey.from_seed(worker_id, hashlib.sha256(worker_id.encode()).digest())


def admitted(snapshot: Snapshot, *worker_ids: str, admission: Admission = Admission.APPROVED) -> Snapshot:
    """`snapshot` with these workers let in, each with its `key_of`."""
    for worker_id in worker_ids:
        record = AdmissionRecord(worker_id, str(key_of(worker_id).public), admission, some_facts(), asked_at_ms=1)
        snapshot = apply(snapshot, AdmissionChanged(record))
    return snapshot


def used_on(snapshot: Snapshot, worker_id: str) -> Resources:
    """What is reserved on a worker in all."""
    placed = list(snapshot.placed_on(worker_id))
    return Resources(
        sum(placement.reserved.cpu for placement in placed), sum(placement.reserved.memory_mb for placement in placed)
    )


def assignment_for(snapshot: Snapshot, worker_id: str) -> Assignment:
    """The worker's assignment as it reads what it is sent, which is in canonical form."""
    data, intents = assignment_text(snapshot, worker_id)
    found = read_assignment(SignedAssignment(data, "", intents))
    assert Sealed.of(found).data == data
    return found
