"""The checks of `vm.boot` that need no file, in the real one's words and order (facts §6); it opens nothing."""

from collections.abc import Callable, Iterator

from worker.vmm.dev.answers import BootFailed, BootFailure, Json
from worker.vmm.dev.vm_config import devices, number, section

Problems = Iterator[tuple[str, ...]]


def check_bootable(config: Json) -> None:
    """The checks of `vm.boot` that need no file, in the real one's words; raises BootFailed (early)."""
    for problem in (*config_problems(config), *_memory_problems(config)):
        raise BootFailed(BootFailure.EARLY, *problem)


def config_problems(config: Json) -> Problems:
    """What is wrong with a configuration at boot, and when a device is added to it."""
    for check in _BOOT_CHECKS:
        yield from (("Failed to validate config", *problem) for problem in check(config))


def _memory_problems(config: Json) -> Problems:
    size = number(section(config, "memory").get("size"))
    if size == 0:
        yield "Memory manager error", "No memory zones found"
    if size % 4096:
        yield "Memory manager error", "Memory size is misaligned with default page size or its hugepage size"


def _payload_problems(config: Json) -> Problems:
    payload = section(config, "payload")
    if "kernel" not in payload and "firmware" not in payload:
        yield "Payload configuration is not bootable", "No bootitem provided: neither firmware nor kernel"
    if "kernel" in payload and "firmware" in payload:
        yield (
            "Payload configuration is not bootable",
            "Specifying a kernel is not supported when a firmware is provided",
        )


def _cpu_problems(config: Json) -> Problems:
    cpus = section(config, "cpus")
    boot, most = number(cpus.get("boot_vcpus")), number(cpus.get("max_vcpus"))
    if boot > most:
        yield (f"Max CPUs ({most}) lower than boot CPUs ({boot})",)


def _identifier_problems(config: Json) -> Problems:
    seen: set[object] = set()
    for kind in ("disks", "net", "fs"):
        for device in devices(config, kind):
            identifier = device.get("id")
            if identifier is not None and identifier in seen:
                yield (f"Identifier {identifier} is not unique",)
            seen.add(identifier)
    if section(config, "vsock").get("id") in seen - {None}:
        yield (f"Identifier {section(config, 'vsock')['id']} is not unique",)


def _device_problems(config: Json) -> Problems:
    for net in devices(config, "net"):
        if number(net.get("num_queues")) < 2:
            yield (f"Number of queues ({net['num_queues']}) to virtio_net should be higher than 2",)
    cid = section(config, "vsock").get("cid")
    if isinstance(cid, int) and cid < 3:
        yield (f"{cid} is a special VSOCK CID",)
    memory = section(config, "memory")
    if devices(config, "fs") and not (memory.get("shared") or memory.get("hugepages")):
        yield ("Using vhost-user requires using shared memory or huge pages",)


_BOOT_CHECKS: tuple[Callable[[Json], Problems], ...] = (
    _payload_problems,
    _cpu_problems,
    _identifier_problems,
    _device_problems,
)
