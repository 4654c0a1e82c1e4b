"""The generations that a simulated fleet is given; it publishes none of them."""

from cli.sim.options import VM_MEMORY_MB, SimOptions
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed, sha256_hex
from schema.generation import Publish, sign_publish
from schema.origin import Origin
from schema.signing import SecretKey
from schema.vmspec import VmSpec

ORIGIN = Origin(repository="simulated/fleet", branch="main")
_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


def _store_path(text: str) -> str:
    digest = bytes.fromhex(sha256_hex(text.encode()))
    return f"/nix/store/{''.join(_ALPHABET[byte % 32] for byte in digest)}-system"


def vm_spec(number: int, *, replicas: int, generation: int) -> VmSpec:
    """A VM like any other; what differs between generations is applied live."""
    toplevel = _store_path(f"vm {number}")
    return VmSpec.model_validate(
        {
            "name": f"vm{number}",
            "system": f"nixosConfigurations.vm{number}.config.system.build.toplevel",
            "toplevel": toplevel,
            "kernel": f"{toplevel}/kernel",
            "initrd": f"{toplevel}/initrd",
            "cmdline": f"console=ttyS0 init={toplevel}/init",
            "cpu": 1,
            "memory_mb": VM_MEMORY_MB,
            "replicas": replicas,
            "labels": {"generation": str(generation), "tier": "simulated"},
            "network": {"ports": [{"name": "web", "port": 80}]},
        }
    )


def publish_of(options: SimOptions, generation: int, *, key: SecretKey) -> Publish:
    """A generation for the whole fleet, signed as CI signs."""
    full, rest = divmod(options.vms, options.replicas)
    sizes = [options.replicas] * full + ([rest] if rest else [])
    specs = (vm_spec(number, replicas=size, generation=generation) for number, size in enumerate(sizes))
    return sign_publish(
        cluster="simulated",
        number=generation,
        commit=sha256_hex(f"commit {generation}".encode())[:40],
        origin=ORIGIN,
        vm_specs=tuple(Sealed.of(spec) for spec in specs),
        rollout=Sealed.of(RolloutPolicy(max_parallel=options.vms)),
        key=key,
    )
