"""One builder per noun for tests that need the shared words; other packages' tests may import it."""

from typing import Any

from schema.assignment import (
    Assignment,
    Entry,
    Fallback,
    GenerationProof,
    SignedAssignment,
    sign_assignment,
)
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed
from schema.generation import Publish, sign_publish
from schema.origin import Origin
from schema.signing import SecretKey
from schema.vmspec import VmSpec

EPOCH = "e" * 32
COMMIT = "c" * 40
CI_KEY = SecretKey.from_seed("ci-1", b"1" * 32)
CONTROL_PLANE_KEY = SecretKey.from_seed("control-plane-1", b"2" * 32)


def a_store_path(name: str = "system", seed: str = "0") -> str:
    return f"/nix/store/{seed * 32}-{name}"


def a_vm_spec(name: str = "web", *, seed: str = "0", **changes: Any) -> VmSpec:
    toplevel = a_store_path(f"{name}-system", seed)
    values: dict[str, object] = {
        "name": name,
        "system": f"nixosConfigurations.{name}.config.system.build.toplevel",
        "toplevel": toplevel,
        "kernel": f"{a_store_path('kernel', '1')}/bzImage",
        "initrd": f"{a_store_path('initrd', '2')}/initrd",
        "cmdline": f"console=ttyS0 init={toplevel}/init",
        "cpu": 1,
        "memory_mb": 128,
    }
    return VmSpec.model_validate(values | changes)


def an_origin() -> Origin:
    return Origin(repository="demo/example", branch="main")


def a_publish(*specs: VmSpec, number: int = 1, key: SecretKey = CI_KEY, **changes: object) -> Publish:
    values: dict[str, object] = {"cluster": "example", "commit": COMMIT, "origin": an_origin()}
    sealed = tuple(Sealed.of(spec) for spec in (specs or (a_vm_spec(),)))
    rollout = Sealed.of(RolloutPolicy())
    return sign_publish(**(values | changes), number=number, key=key, vm_specs=sealed, rollout=rollout)  # type: ignore[arg-type]


def a_proof(publish: Publish) -> GenerationProof:
    header = publish.header
    return GenerationProof(
        number=header.number,
        commit=header.commit,
        origin=header.origin,
        intent_hash=publish.intent.sha256,
        intent=publish.intent.text,
        signature=header.signature,
    )


def an_entry(publish: Publish, *, instance: str = "web-0", fallback: Publish | None = None) -> Entry:
    vm = instance.rpartition("-")[0]

    def spec_in(source: Publish) -> str:
        return next(sealed.text for sealed in source.vm_specs if sealed.value.name == vm)

    return Entry(
        instance=instance,
        generation=publish.header.number,
        spec=spec_in(publish),
        address="10.77.0.2/24",
        mac="02:00:00:00:00:01",
        fallback=Fallback(generation=fallback.header.number, spec=spec_in(fallback)) if fallback else None,
    )


def an_assignment(*publishes: Publish, entries: tuple[Entry, ...] | None = None, **changes: object) -> Assignment:
    newest = publishes[0]
    values: dict[str, object] = {
        "worker_id": "worker-0",
        "epoch": EPOCH,
        "revision": 1,
        "entries": (an_entry(newest),) if entries is None else entries,
        "generations": tuple(a_proof(publish) for publish in publishes),
    }
    return Assignment.model_validate(values | changes)


def as_signed(assignment: Assignment, key: SecretKey) -> SignedAssignment:
    """As the control plane sends it."""
    intents = tuple(proof.intent.encode() for proof in assignment.generations)
    return sign_assignment(Sealed.of(assignment).data, intents, key)
