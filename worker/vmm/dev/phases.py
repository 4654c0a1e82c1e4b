"""What each request may do in each phase of a hypervisor process, as tables (facts §4); it carries no request out.

A real hypervisor holds two objects: the configuration (from create to delete) and the VM (from boot to shutdown). What
a request may do depends on which of them exist, and on nothing else. A boot that fails late leaves the VM object behind
a `state` that says `Created`: `Phase.WRECKED`. What was recorded of a running VM is held to be so of a wrecked one,
except where the record says otherwise.
"""

from collections.abc import Mapping
from enum import Enum


class Phase(Enum):
    """Which of the two objects exist; the value is what `vm.info` says."""

    NO_VM = "-"
    CREATED = "Created"
    WRECKED = "Created "
    RUNNING = "Running"
    PAUSED = "Paused"

    @property
    def has_guest(self) -> bool:
        """Whether there is a guest."""
        return self in (Phase.RUNNING, Phase.PAUSED)


class Request(Enum):
    """The requests that depend on the phase; the value is the endpoint."""

    INFO = "vm.info"
    CREATE = "vm.create"
    BOOT = "vm.boot"
    PAUSE = "vm.pause"
    RESUME = "vm.resume"
    SHUTDOWN = "vm.shutdown"
    REBOOT = "vm.reboot"
    POWER_BUTTON = "vm.power-button"
    NMI = "vm.nmi"
    COUNTERS = "vm.counters"
    RESIZE = "vm.resize"
    RESIZE_DISK = "vm.resize-disk"
    RESIZE_ZONE = "vm.resize-zone"
    ADD_DISK = "vm.add-disk"
    ADD_NET = "vm.add-net"
    ADD_VSOCK = "vm.add-vsock"
    ADD_FS = "vm.add-fs"
    ADD_PMEM = "vm.add-pmem"
    ADD_DEVICE = "vm.add-device"
    ADD_USER_DEVICE = "vm.add-user-device"
    ADD_VDPA = "vm.add-vdpa"
    ADD_GENERIC_VHOST_USER = "vm.add-generic-vhost-user"
    REMOVE_DEVICE = "vm.remove-device"
    SNAPSHOT = "vm.snapshot"
    RESTORE = "vm.restore"
    RECEIVE_MIGRATION = "vm.receive-migration"
    SEND_MIGRATION = "vm.send-migration"
    DELETE = "vm.delete"

    @property
    def takes_body(self) -> bool:
        """Whether it needs a body; the others must have none."""
        return self in _WITH_BODY

    @property
    def failure(self) -> str:
        """The outermost cause of its refusals."""
        return FAILURES[self]


_WITH_BODY = frozenset(
    (
        *(Request.CREATE, Request.RESIZE, Request.RESIZE_DISK, Request.RESIZE_ZONE, Request.REMOVE_DEVICE),
        *(Request.ADD_DISK, Request.ADD_NET, Request.ADD_VSOCK, Request.ADD_FS, Request.ADD_PMEM, Request.ADD_DEVICE),
        *(Request.ADD_USER_DEVICE, Request.ADD_VDPA, Request.ADD_GENERIC_VHOST_USER),
        *(Request.SNAPSHOT, Request.RESTORE, Request.RECEIVE_MIGRATION, Request.SEND_MIGRATION),
    )
)

FAILURES: dict[Request, str] = {
    Request.INFO: "The VM info is not available",
    Request.CREATE: "The VM could not be created",
    Request.BOOT: "The VM could not boot",
    Request.PAUSE: "The VM could not be paused",
    Request.RESUME: "The VM could not resume",
    Request.SHUTDOWN: "The VM could not shutdown",
    Request.REBOOT: "The VM could not reboot",
    Request.POWER_BUTTON: "Error triggering power button",
    Request.NMI: "Error triggering NMI",
    Request.COUNTERS: "The VM info is not available",
    Request.RESIZE: "The VM could not be resized",
    Request.RESIZE_DISK: "The disk could not be resized",
    Request.RESIZE_ZONE: "The memory zone could not be resized",
    Request.ADD_DISK: "The disk could not be added to the VM",
    Request.ADD_NET: "The network device could not be added to the VM",
    Request.ADD_VSOCK: "The vsock device could not be added to the VM",
    Request.ADD_FS: "The fs could not be added to the VM",
    Request.ADD_PMEM: "The pmem device could not be added to the VM",
    Request.ADD_DEVICE: "The device could not be added to the VM",
    Request.ADD_USER_DEVICE: "The user device could not be added to the VM",
    Request.ADD_VDPA: "The vDPA device could not be added to the VM",
    Request.ADD_GENERIC_VHOST_USER: "The generic vhost-user device could not be added to the VM",
    Request.REMOVE_DEVICE: "The device could not be removed from the VM",
    Request.SNAPSHOT: "The VM could not be snapshotted",
    Request.RESTORE: "The VM could not be restored",
    Request.RECEIVE_MIGRATION: "Error starting migration receiver",
    Request.SEND_MIGRATION: "Error starting migration sender",
    Request.DELETE: "The VM could not be deleted",
}
"""The outermost cause by request. Recorded where facts §4 has the row; the others follow the same form."""

CANNOT: dict[Request, str] = {
    Request.RESIZE_ZONE: "memory zones",
    Request.ADD_FS: "virtio-fs",
    Request.ADD_PMEM: "pmem",
    Request.ADD_DEVICE: "VFIO devices",
    Request.ADD_USER_DEVICE: "vfio-user devices",
    Request.ADD_VDPA: "vDPA devices",
    Request.ADD_GENERIC_VHOST_USER: "vhost-user devices",
    Request.RECEIVE_MIGRATION: "migration between machines",
    Request.SEND_MIGRATION: "migration between machines",
}
"""What this hypervisor has not, by the request for it; `vm.coredump` is not found, as in a release build."""

Refusal = tuple[int, tuple[str, ...]]

_NO_CONFIG: Refusal = (404, ("VM is not created",))
_NO_GUEST: Refusal = (500, ("VM is not running",))
_NO_VM = dict.fromkeys((Phase.NO_VM, Phase.CREATED), _NO_GUEST)
_NOTHING_TO_CHANGE = {Phase.NO_VM: _NO_CONFIG}
_ALREADY: Refusal = (500, ("VM is already created",))
_EVERY_VM = dict.fromkeys((Phase.CREATED, Phase.WRECKED, Phase.RUNNING, Phase.PAUSED), _ALREADY)


def _invalid(verb: str, state: str) -> Refusal:
    transition = f"Invalid transition: InvalidStateTransition({state}, {state})"
    return 500, (f"Cannot {verb} VM", f"Failed to {verb} migratable component", transition)


_TOO_LIVELY = (
    "Cannot snapshot VM",
    "Failed to snapshot migratable component",
    "Trying to snapshot while VM is running",
)

REFUSALS: dict[Request, Mapping[Phase, Refusal]] = {
    Request.INFO: _NOTHING_TO_CHANGE,
    Request.CREATE: _EVERY_VM,
    Request.BOOT: {
        Phase.NO_VM: (404, ("VM config is missing",)),
        **dict.fromkeys((Phase.WRECKED, Phase.RUNNING, Phase.PAUSED), _ALREADY),
    },
    Request.PAUSE: {**_NO_VM, Phase.PAUSED: _invalid("pause", "Paused")},
    Request.RESUME: {**_NO_VM, Phase.RUNNING: _invalid("resume", "Running")},
    Request.SHUTDOWN: _NO_VM,
    Request.REBOOT: dict.fromkeys((Phase.NO_VM, Phase.CREATED), _NO_CONFIG),
    Request.POWER_BUTTON: _NO_VM,
    Request.NMI: _NO_VM,
    Request.COUNTERS: _NO_VM,
    Request.RESIZE: _NOTHING_TO_CHANGE,
    Request.RESIZE_DISK: {Phase.NO_VM: _NO_CONFIG, **dict.fromkeys((Phase.CREATED, Phase.WRECKED), _NO_GUEST)},
    Request.RESIZE_ZONE: _NOTHING_TO_CHANGE,
    Request.ADD_DISK: _NOTHING_TO_CHANGE,
    Request.ADD_NET: _NOTHING_TO_CHANGE,
    Request.ADD_VSOCK: _NOTHING_TO_CHANGE,
    Request.ADD_FS: _NOTHING_TO_CHANGE,
    Request.ADD_PMEM: _NOTHING_TO_CHANGE,
    Request.ADD_DEVICE: _NOTHING_TO_CHANGE,
    Request.ADD_USER_DEVICE: _NOTHING_TO_CHANGE,
    Request.ADD_VDPA: _NOTHING_TO_CHANGE,
    Request.ADD_GENERIC_VHOST_USER: _NOTHING_TO_CHANGE,
    Request.REMOVE_DEVICE: _NOTHING_TO_CHANGE,
    Request.SNAPSHOT: {**_NO_VM, Phase.WRECKED: _NO_GUEST, Phase.RUNNING: (500, _TOO_LIVELY)},
    Request.RESTORE: _EVERY_VM,
    Request.RECEIVE_MIGRATION: _EVERY_VM,
    Request.SEND_MIGRATION: _NO_VM,
    Request.DELETE: {},
}
"""What is refused in which phase, by which status and causes behind `FAILURES`; everything else is done."""

AFTER: dict[Request, Phase] = {
    Request.CREATE: Phase.CREATED,
    Request.BOOT: Phase.RUNNING,
    Request.PAUSE: Phase.PAUSED,
    Request.RESUME: Phase.RUNNING,
    Request.SHUTDOWN: Phase.CREATED,
    Request.REBOOT: Phase.RUNNING,
    Request.RESTORE: Phase.PAUSED,
    Request.DELETE: Phase.NO_VM,
}
"""The phase after a request that was done (`vm.restore` that shall resume ends in `RUNNING`)."""


def after(request: Request, phase: Phase) -> Phase:
    """The phase after `request` was done in `phase`: a wrecked VM is not paused or resumed by the answer 204."""
    if phase is Phase.WRECKED and request in (Request.PAUSE, Request.RESUME):
        return phase
    return AFTER.get(request, phase)
