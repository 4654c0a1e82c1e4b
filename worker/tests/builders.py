"""One builder for each noun of the worker's tests."""

import hashlib

from schema.blueprint import CheckType, Egress, Health, HealthCheck, Network, PublishedPort, Volume
from schema.canonical import Sealed
from schema.vmspec import VmSpec
from worker.reconcile import Limits
from worker.vm_state import Attachment, Content, Desired

STORE = "/nix/store"
_BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"


def store_path(name: str) -> str:
    digest = hashlib.sha256(name.encode()).digest()
    return f"{STORE}/{''.join(_BASE32[byte % 32] for byte in digest[:32])}-{name}"


def a_spec(
    name: str = "web",
    *,
    text: str = "one",
    memory_mb: int = 64,
    checks: tuple[HealthCheck, ...] = (HealthCheck(type=CheckType.TCP, port=80),),
    start_deadline_ms: int = 10_000,
    failures: int = 3,
    connect: tuple[str, ...] = (),
    volumes: dict[str, Volume] | None = None,
    nic: bool = True,
    ports: tuple[PublishedPort, ...] = (),
    egress: Egress = Egress(),  # noqa: B008 - it is frozen
    **more: object,
) -> VmSpec:
    toplevel = store_path(f"{name}-{text}")
    return VmSpec.model_validate(
        {
            "name": name,
            "system": f"vms.{name}",
            "toplevel": toplevel,
            "kernel": f"{toplevel}/kernel",
            "initrd": f"{toplevel}/initrd",
            "cmdline": f"console=ttyS0 init={toplevel}/init",
            "cpu": 1,
            "memory_mb": memory_mb,
            "health": Health(checks=checks, start_deadline_ms=start_deadline_ms, failures=failures),
            "network": Network(connect=connect, nic=nic, ports=ports, egress=egress),
            "volumes": volumes or {},
            **more,
        }
    )


def a_content(generation: int = 1, spec: VmSpec | None = None, **spec_fields: object) -> Content:
    return Content.of(generation, Sealed.of(spec or a_spec(**spec_fields)))  # type: ignore[arg-type]


def an_attachment(number: int = 2) -> Attachment:
    return Attachment(f"10.77.0.{number}/24", "10.77.0.1", f"02:00:00:00:00:{number:02x}")


def a_desired(
    instance: str = "web-0", *, content: Content | None = None, fallback: Content | None = None, number: int = 2
) -> Desired:
    vm = instance.rpartition("-")[0]
    return Desired(instance, content or a_content(spec=a_spec(vm)), an_attachment(number), fallback)


def some_limits(parallel_boots: int = 2, parallel_pulls: int = 2, memory_mb: int = 100_000) -> Limits:
    return Limits(parallel_boots, parallel_pulls, memory_mb)
