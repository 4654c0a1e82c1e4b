"""The state machine of one hypervisor process, as recorded: a configuration, and beside it a booted VM.

A real hypervisor holds two objects: the configuration (from create to delete) and the VM (from boot to shutdown). What
a request may do depends on which of them exist, and on nothing else. A boot that fails late leaves the VM object behind
a `state` that says `Created`: `Phase.WRECKED`. The table says what is refused in which phase; the guest is driven
through the `Guest` port, so that the same machine runs over QEMU and over the scripted fake. Paused is left out: the
requests that lead there are not offered yet. Not here: HTTP, sockets, QEMU.
"""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from worker.vmm.dev.answers import BootFailed, BootFailure, Json, Refused, VmmPanicked
from worker.vmm.dev.boot_checks import check_bootable
from worker.vmm.dev.vm_config import number, parse, section, with_boot_names


class Phase(Enum):
    """Which of the two objects exist; the value is what `vm.info` says."""

    NO_VM = "-"
    CREATED = "Created"
    WRECKED = "Created "
    RUNNING = "Running"


class Request(Enum):
    """The offered requests that depend on the phase; the value is the endpoint."""

    INFO = "vm.info"
    CREATE = "vm.create"
    BOOT = "vm.boot"
    SHUTDOWN = "vm.shutdown"
    POWER_BUTTON = "vm.power-button"
    COUNTERS = "vm.counters"
    DELETE = "vm.delete"


Refusal = tuple[int, str, str]

_EXISTS: Refusal = (500, "The VM could not be created", "VM is already created")
_BOOTED: Refusal = (500, "The VM could not boot", "VM is already created")
_NOT_RUNNING = "VM is not running"

REFUSALS: dict[Request, dict[Phase, Refusal]] = {
    Request.INFO: {Phase.NO_VM: (404, "The VM info is not available", "VM is not created")},
    Request.CREATE: {Phase.CREATED: _EXISTS, Phase.WRECKED: _EXISTS, Phase.RUNNING: _EXISTS},
    Request.BOOT: {
        Phase.NO_VM: (404, "The VM could not boot", "VM config is missing"),
        Phase.WRECKED: _BOOTED,
        Phase.RUNNING: _BOOTED,
    },
    Request.SHUTDOWN: dict.fromkeys((Phase.NO_VM, Phase.CREATED), (500, "The VM could not shutdown", _NOT_RUNNING)),
    Request.POWER_BUTTON: dict.fromkeys(
        (Phase.NO_VM, Phase.CREATED), (500, "Error triggering power button", _NOT_RUNNING)
    ),
    Request.COUNTERS: dict.fromkeys((Phase.NO_VM, Phase.CREATED), (500, "The VM info is not available", _NOT_RUNNING)),
    Request.DELETE: {},
}
"""What is refused in which phase, by which status and causes; everything else is done. Recorded, §4."""

AFTER: dict[Request, Phase] = {
    Request.CREATE: Phase.CREATED,
    Request.BOOT: Phase.RUNNING,
    Request.SHUTDOWN: Phase.CREATED,
    Request.DELETE: Phase.NO_VM,
}
"""The phase after a request that was done."""


class Guest(Protocol):
    """What runs below the API: QEMU, or the fake's script."""

    def open_serial(self, config: Json) -> None:
        """At create: open the serial console's file or socket; raises OSError."""
        ...

    def close_serial(self) -> None:
        """At delete: close it and remove the socket."""
        ...

    def start(self, config: Json) -> None:
        """Start the guest; raises BootFailed."""
        ...

    def stop(self) -> None:
        """Stop it at once, unasked; nothing when none runs."""
        ...

    def press_power_button(self) -> None:
        """Ask the guest to power off."""
        ...

    def counters(self, config: Json) -> Json:
        """Device id → counter → value."""
        ...


class Machine:
    """One hypervisor's state over a guest. `on_event(source, event)` hears what the real event monitor tells."""

    def __init__(
        self, guest: Guest, *, random_mac: Callable[[], str], on_event: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        self._guest = guest
        self._random_mac = random_mac
        self._tell = on_event
        self._config: Json = {}
        self.phase = Phase.NO_VM

    def handle(self, request: Request, body: bytes) -> Json | None:
        """Carry one request out; its answer's body, or None for 204. Raises Refused."""
        if request is Request.CREATE:
            config = parse(body)
        refusal = REFUSALS[request].get(self.phase)
        if refusal is not None:
            status, *causes = refusal
            raise Refused(status, *causes)
        match request:
            case Request.INFO:
                return self._info()
            case Request.COUNTERS:
                return self._guest.counters(self._config)
            case Request.POWER_BUTTON:
                if self.phase is Phase.RUNNING:
                    self._guest.press_power_button()
            case Request.CREATE:
                self._create(config)
            case Request.BOOT:
                self._boot()
            case Request.SHUTDOWN:
                self._guest.stop()
                self._tell("vm", "shutdown")
            case Request.DELETE:
                self._delete()
        self.phase = AFTER.get(request, self.phase)
        return None

    def guest_powered_off(self) -> None:
        """The guest ended by itself under `--no-shutdown`: only the VM goes, its configuration stays."""
        self._guest.stop()
        self.phase = Phase.CREATED
        self._tell("vm", "shutdown")

    def end(self) -> None:
        """The process is about to end: stop the guest and remove the serial socket."""
        if self.phase is Phase.RUNNING:
            self._guest.stop()
            self._tell("vm", "shutdown")
        if self.phase is not Phase.NO_VM:
            self._delete()
        self.phase = Phase.NO_VM

    def _create(self, config: Json) -> None:
        self._config = config
        self.phase = Phase.CREATED  # a create that fails from here on keeps its configuration (recorded)
        if section(config, "console").get("mode") == "Socket":
            raise Refused(
                500,
                "The VM could not be created",
                "Error creating console devices",
                "No socket option support for console device",
            )
        serial = section(config, "serial")
        if serial.get("mode") == "File" and "file" not in serial:
            raise VmmPanicked("serial mode File without a file")
        try:
            self._guest.open_serial(config)
        except OSError as error:
            raise Refused(
                500,
                "The VM could not be created",
                "Error creating console devices",
                "Error creating console device",
                os_error_text(error),
            ) from error

    def _boot(self) -> None:
        self._tell("vm", "booting")
        try:
            check_bootable(self._config)
            self._config = with_boot_names(self._config, random_mac=self._random_mac)
            self._guest.start(self._config)
        except BootFailed as failed:
            if failed.failure is BootFailure.DEVICE and failed.kind_of_device is not None:
                self._config.pop(failed.kind_of_device, None)
            if failed.failure is BootFailure.LATE:
                self.phase = Phase.WRECKED
            raise Refused(500, "The VM could not boot", *failed.causes) from failed
        self._tell("vm", "booted")

    def _delete(self) -> None:
        self._guest.stop()
        self._guest.close_serial()
        if self.phase is not Phase.NO_VM:
            self._tell("vm", "deleted")
        self._config = {}

    def _info(self) -> Json:
        answer: Json = {
            "config": self._config,
            "state": self.phase.value.strip(),
            "memory_actual_size": number(section(self._config, "memory").get("size")),
        }
        if self.phase is Phase.RUNNING:
            answer["device_tree"] = device_tree(self._config)
        return answer


def os_error_text(error: OSError) -> str:
    """An OSError as Rust prints it, e.g. `No such file or directory (os error 2)`."""
    return f"{error.strerror} (os error {error.errno})"


def device_tree(config: Json) -> Json:
    """The tree that `vm.info` shows of a booted VM: a PCI node and a device node each, in the order of the slots."""
    names = ["__rng"]
    for kind in ("disks", "net"):
        listed = config.get(kind)
        names += [str(device["id"]) for device in listed] if isinstance(listed, list) else []
    vsock = section(config, "vsock")
    names += [str(vsock["id"])] if vsock else []
    tree: Json = {}
    for slot, name in enumerate(names, start=1):
        bus_device = f"_virtio-pci-{name}"
        tree[bus_device] = {"id": bus_device, "resources": [], "children": [name], "pci_bdf": f"0000:00:{slot:02x}.0"}
        tree[name] = {"id": name, "resources": [], "parent": bus_device, "children": []}
    for legacy in ("__ioapic", "__serial"):
        tree[legacy] = {"id": legacy, "resources": [], "children": []}
    return tree
