"""The state machine of one hypervisor process, as recorded: a configuration, and beside it a booted VM.

What is refused when is in the tables of `phases.py`; here is what is done. The guest is driven through the `Guest`
port, so that the same machine runs over QEMU and over the scripted fake. Not here: HTTP, sockets, QEMU.
"""

import json
from collections.abc import Callable

from worker.vmm.dev import slots as placing
from worker.vmm.dev.answers import (
    BalloonChanged,
    BootFailed,
    BootFailure,
    GuestFailed,
    GuestReset,
    Json,
    Refused,
    Unplugged,
    VmmPanicked,
)
from worker.vmm.dev.boot_checks import check_bootable, config_problems
from worker.vmm.dev.guest_port import Guest, Steering
from worker.vmm.dev.phases import CANNOT, REFUSALS, Phase, Request, after
from worker.vmm.dev.requests import KINDS, folder_of, read
from worker.vmm.dev.slots import Slots
from worker.vmm.dev.snapshot import Snapshot
from worker.vmm.dev.vm_config import (
    devices,
    number,
    parse,
    section,
    with_boot_names,
    with_device,
    with_name,
    without_device,
)

_NOTHING = Slots({})
_FULL = f"The dev hypervisor has slots for {placing.LAST} devices"
_UNKNOWN = "Failed to find device corresponding to the given identifier: "


class Machine:
    """One hypervisor's state over a guest. `on_event(source, event)` hears what the real event monitor tells."""

    def __init__(
        self, guest: Guest, *, random_mac: Callable[[], str], on_event: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        self._guest = guest
        self._random_mac = random_mac
        self._tell = on_event
        self._config: Json = {}
        self._slots = _NOTHING
        self._next_name = 0
        self._balloon_bytes = 0
        self.phase = Phase.NO_VM

    def handle(self, request: Request, body: bytes) -> Json | None:
        """Carry one request out; its answer's body, or None for 204. Raises Refused."""
        given = read(request, body)
        self._announce(request)
        refusal = REFUSALS[request].get(self.phase)
        if refusal is not None:
            status, causes = refusal
            raise Refused(status, request.failure, *causes)
        if request in CANNOT:
            raise Refused(500, request.failure, f"The dev hypervisor has no {CANNOT[request]}")
        try:
            answer = self._carry_out(request, given)
        except GuestFailed as failed:
            raise Refused(500, request.failure, *failed.causes) from failed
        self.phase = after(request, self.phase)
        if request is Request.RESTORE and given["resume"]:
            return self.handle(Request.RESUME, b"")
        return answer

    def guest_told(self, event: GuestReset | Unplugged | BalloonChanged) -> None:
        """What the guest did by itself, other than end."""
        match event:
            case GuestReset():
                self._tell("vm", "rebooting")
                self._tell("vm", "rebooted")
            case Unplugged(slot):
                self._slots = self._slots.gone(slot)
            case BalloonChanged(guest_bytes):
                self._balloon_bytes = max(0, self._memory_bytes() - guest_bytes)

    def guest_powered_off(self) -> None:
        """The guest ended by itself under `--no-shutdown`: only the VM goes, its configuration stays."""
        self._shut_down()
        self.phase = Phase.CREATED

    def end(self) -> None:
        """The process is about to end: stop the guest and remove the serial socket."""
        if self.phase is not Phase.NO_VM:
            self._delete()
        self.phase = Phase.NO_VM

    def _announce(self, request: Request) -> None:
        """Refused requests that are told nevertheless (recorded)."""
        if request is Request.REBOOT:
            self._tell("vm", "rebooting")
        if request is Request.SNAPSHOT and self.phase.has_guest:
            self._tell("vm", "snapshotting")

    def _carry_out(self, request: Request, given: Json) -> Json | None:  # noqa: PLR0912 - one branch a request
        match request:
            case Request.INFO:
                return self._info()
            case Request.COUNTERS:
                return self._guest.counters(self._config, self._slots)
            case Request.CREATE:
                self._create(given)
            case Request.BOOT:
                self._boot()
            case Request.PAUSE:
                self._steer(Steering.PAUSE, "pausing", "paused")
            case Request.RESUME:
                self._steer(Steering.RESUME, "resuming", "resumed")
            case Request.POWER_BUTTON:
                self._steer(Steering.POWER_BUTTON)
            case Request.NMI:
                self._steer(Steering.NMI)
            case Request.REBOOT:
                self._reboot()
            case Request.SHUTDOWN:
                self._shut_down()
            case Request.DELETE:
                self._delete()
            case Request.ADD_DISK | Request.ADD_NET | Request.ADD_VSOCK:
                return self._add(KINDS[request], given)
            case Request.REMOVE_DEVICE:
                self._remove(str(given["id"]))
            case Request.RESIZE:
                self._resize(given)
            case Request.RESIZE_DISK:
                self._resize_disk(str(given["id"]), number(given["desired_size"]))
            case Request.SNAPSHOT:
                self._snapshot(folder_of(request, given["destination_url"]))
            case Request.RESTORE:
                self._restore(folder_of(request, given["source_url"]))
        return None

    def _create(self, config: Json) -> None:
        self._config = config
        self.phase = Phase.CREATED  # a create that fails from here on keeps its configuration (recorded)
        if section(config, "console").get("mode") == "Socket":
            raise GuestFailed("Error creating console devices", "No socket option support for console device")
        serial = section(config, "serial")
        if serial.get("mode") == "File" and "file" not in serial:
            raise VmmPanicked("serial mode File without a file")
        try:
            self._guest.open_serial(config)
        except OSError as error:
            causes = ("Error creating console devices", "Error creating console device", os_error_text(error))
            raise GuestFailed(*causes) from error

    def _boot(self) -> None:
        self._tell("vm", "booting")
        try:
            check_bootable(self._config)
            self._config, self._next_name = with_boot_names(self._config, random_mac=self._random_mac)
            self._slots = placing.at_boot(self._config)
            if len(self._slots.taken) > placing.LAST:
                raise BootFailed(BootFailure.EARLY, "Error from device manager", _FULL)
            self._guest.start(self._config, self._slots)
        except BootFailed as failed:
            self._slots = _NOTHING
            if failed.failure is BootFailure.DEVICE and failed.kind_of_device is not None:
                self._config.pop(failed.kind_of_device, None)
            if failed.failure is BootFailure.LATE:
                self.phase = Phase.WRECKED
            raise
        self._balloon_bytes = 0
        self._tell("vm", "booted")

    def _steer(self, steering: Steering, before: str = "", afterwards: str = "") -> None:
        """Nothing where a wrecked VM has no guest: the real one answers 204 too."""
        if not self.phase.has_guest:
            return
        if before:
            self._tell("vm", before)
        self._guest.steer(steering)
        if afterwards:
            self._tell("vm", afterwards)

    def _reboot(self) -> None:
        if self.phase is Phase.WRECKED:
            self.phase = Phase.CREATED
            self._boot()
            return
        self._guest.steer(Steering.RESET)
        if self.phase is Phase.PAUSED:
            self._guest.steer(Steering.RESUME)
        self._tell("vm", "rebooted")

    def _shut_down(self) -> None:
        self._guest.stop()
        self._slots = _NOTHING
        self._balloon_bytes = 0
        self._tell("vm", "shutdown")

    def _delete(self) -> None:
        if self.phase.has_guest:
            self._shut_down()
        self._guest.close_serial()
        if self.phase is not Phase.NO_VM:
            self._tell("vm", "deleted")
        self._config = {}

    def _add(self, kind: str, device: Json) -> Json | None:
        """Into the configuration, and into the guest where one runs; its id and address then."""
        if kind == "vsock" and section(self._config, "vsock"):
            raise GuestFailed("Too many virtio-vsock devices")
        for problem in config_problems(with_device(self._config, kind, device)):
            raise GuestFailed(*problem)
        if not self.phase.has_guest:
            self._config = with_device(self._config, kind, device)
            return None
        named, next_name = with_name(kind, device, count=self._next_name, random_mac=self._random_mac)
        identifier, slot = str(named["id"]), self._slots.free()
        if slot is None:
            raise GuestFailed("Error from device manager", _FULL)
        self._guest.plug(kind, named, slot)
        self._config, self._next_name = with_device(self._config, kind, named), next_name
        self._slots = self._slots.plugged(identifier, slot)
        return {"id": identifier, "bdf": placing.address(slot)}

    def _remove(self, identifier: str) -> None:
        """Out of the configuration at once; a guest is asked, and may take its time or never let go."""
        left = without_device(self._config, identifier)
        if left == self._config:
            if self.phase.has_guest:
                raise GuestFailed("Error from device manager", f"{_UNKNOWN}{identifier}")
            raise GuestFailed(f'No device with id "{identifier}" to remove')
        if self.phase.has_guest and identifier in self._slots.taken:  # a guest may let go unasked
            self._guest.unplug(self._slots.taken[identifier])
            self._slots = self._slots.ejecting(identifier)
        self._config = left

    def _resize(self, given: Json) -> None:
        """Only the balloon of a guest changes: QEMU cannot take memory away, and starts with no room for more."""
        vcpus, memory, balloon = (given.get(f"desired_{name}") for name in ("vcpus", "ram", "balloon"))
        if self.phase.has_guest:
            self._tell("vm", "resizing")
            self._check_size(vcpus, memory)
            if balloon is not None:
                if not section(self._config, "balloon"):
                    raise GuestFailed("Error from device manager", "Missing virtio-balloon, can't proceed as expected")
                self._guest.resize_balloon(number(balloon))
        for name, key, value in (
            ("cpus", "boot_vcpus", vcpus),
            ("memory", "size", memory),
            ("balloon", "size", balloon),
        ):
            if value is not None and section(self._config, name):
                self._config = {**self._config, name: {**section(self._config, name), key: value}}
        if self.phase.has_guest:
            self._tell("vm", "resized")

    def _check_size(self, vcpus: object, memory: object) -> None:
        cpus = section(self._config, "cpus")
        if vcpus is not None and number(vcpus) > number(cpus.get("max_vcpus")):
            raise GuestFailed("Error from CPU manager", "Requested vCPUs exceed maximum")
        if vcpus is not None and vcpus != cpus.get("boot_vcpus"):
            raise GuestFailed("Error from CPU manager", "The dev hypervisor has no vCPU hotplug")
        if memory is not None and number(memory) > self._memory_bytes() + number(
            section(self._config, "memory").get("hotplug_size")
        ):
            raise GuestFailed("Memory manager error", "Not enough space in the hotplug RAM region")
        if memory is not None and memory != self._memory_bytes():
            raise GuestFailed("Memory manager error", "The dev hypervisor has no memory hotplug")

    def _resize_disk(self, identifier: str, size: int) -> None:
        known = any(disk.get("id") == identifier for disk in devices(self._config, "disks"))
        if not known or identifier not in self._slots.taken:
            raise GuestFailed("Error from device manager", f"{_UNKNOWN}{identifier}")
        self._guest.resize_disk(self._slots.taken[identifier], size)

    def _snapshot(self, folder: str) -> None:
        if self._slots.leaving:
            raise GuestFailed("Cannot snapshot VM", "The guest has not let a removed device go yet")
        config = json.dumps(self._config).encode()
        try:
            self._guest.save(folder, Snapshot(config, self._slots, self._next_name, self._balloon_bytes))
        except OSError as error:
            raise GuestFailed("Cannot snapshot VM", os_error_text(error)) from error
        self._tell("vm", "snapshotted")

    def _restore(self, folder: str) -> None:
        """All or nothing: a restore that fails leaves no configuration."""
        self._tell("vm", "restoring")
        try:
            saved = self._guest.load(folder)
            self._config = parse(saved.config)
            self._slots, self._next_name, self._balloon_bytes = saved.slots, saved.next_name, saved.balloon_bytes
            if saved.slots.taken.keys() != placing.at_boot(self._config).taken.keys():
                raise GuestFailed(f"{folder}: the snapshot's slots are not its configuration's")
            self._guest.open_serial(self._config)
            self._guest.start(self._config, self._slots, saved=folder)
        except (OSError, GuestFailed, Refused) as error:
            self._guest.close_serial()
            self._config, self._slots, self._balloon_bytes = {}, _NOTHING, 0
            if isinstance(error, OSError):
                raise GuestFailed(os_error_text(error)) from error
            raise
        self._tell("vm", "restored")

    def _memory_bytes(self) -> int:
        return number(section(self._config, "memory").get("size"))

    def _info(self) -> Json:
        answer: Json = {
            "config": self._config,
            "state": self.phase.value.strip(),
            "memory_actual_size": self._memory_bytes() - self._balloon_bytes,
        }
        if self.phase.has_guest:
            answer["device_tree"] = placing.device_tree(self._slots)
        return answer


def os_error_text(error: OSError) -> str:
    """An OSError as Rust prints it, e.g. `No such file or directory (os error 2)`."""
    return f"{error.strerror} (os error {error.errno})"
