"""What the worker asks of a hypervisor that holds one VM, and the values in its answers; it talks to nothing itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Protocol

from schema.errors import Internal, ProcuratorError
from worker.vmm.config import Disk, Size, VmConfig

LARGEST_COUNTER = 2**63 - 1
"""Idle disks report u64 sentinels as latencies (recorded: 18446744073709551615); what is above is no measurement."""


class VmState(Enum):
    """`state` of `vm.info`. After `vm.shutdown`, and after a failed boot, a real one says `Created`."""

    CREATED = "Created"
    RUNNING = "Running"
    SHUTDOWN = "Shutdown"
    PAUSED = "Paused"
    BREAKPOINT = "BreakPoint"


class VmAction(Enum):
    """The requests that carry nothing and answer nothing; the value is the endpoint's name."""

    BOOT = "vm.boot"
    PAUSE = "vm.pause"
    RESUME = "vm.resume"
    REBOOT = "vm.reboot"
    NMI = "vm.nmi"
    POWER_BUTTON = "vm.power-button"
    SHUTDOWN = "vm.shutdown"
    DELETE = "vm.delete"
    SHUTDOWN_VMM = "vmm.shutdown"

    @property
    def ends_process(self) -> bool:
        """Whether the hypervisor's process exits right after its answer."""
        return self is VmAction.SHUTDOWN_VMM


class Refusal(Enum):
    """Why a request was refused, told by the text of its causes: status codes differ between versions, texts do not."""

    VM_EXISTS = r"VM is already created"
    NO_VM = r"VM is not created|VM config is missing"
    NOT_RUNNING = r"VM is not running"
    NOT_OFFERED = r"Not Found"
    MALFORMED = r"Bad Request|Failed to deserialize JSON"
    OTHER = r""

    @classmethod
    def of(cls, causes: tuple[str, ...]) -> "Refusal":
        """The kind of refusal that `causes` (outermost first) tell of; `OTHER` when none is known."""
        told = (causes[-1], causes[0]) if causes else ("",)
        return next((kind for kind in cls if any(re.fullmatch(kind.value, text) for text in told)), cls.OTHER)


class HypervisorRefused(ProcuratorError):
    """The hypervisor answered with an error; `causes` is its array, outermost first, without `Error from API`."""

    code: ClassVar[str] = "hypervisor-refused"

    def __init__(self, *, request: str, status: int, causes: tuple[str, ...]) -> None:
        self.request = request
        self.status = status
        self.causes = causes
        self.refusal = Refusal.of(causes)
        super().__init__(f"{request}: {': '.join(causes) or f'answered {status} without a reason'}")


@dataclass(frozen=True, slots=True)
class VmmIdentity:
    """`vmm.ping`: who answers."""

    version: str
    pid: int

    @classmethod
    def from_json(cls, body: object) -> "VmmIdentity":
        """Read a `vmm.ping` body; raises Internal when it is none."""
        match body:
            case {"version": str(version), "pid": int(pid)}:
                return cls(version=version, pid=pid)
        raise Internal(f"vmm.ping answered without version and pid: {body!r:.200}")


@dataclass(frozen=True, slots=True)
class VmInfo:
    """`vm.info`: `config` is the hypervisor's own JSON (a failed boot may have dropped disks or nets from it)."""

    state: VmState
    config: Mapping[str, object]
    memory_bytes: int | None

    @classmethod
    def from_json(cls, body: object) -> "VmInfo":
        """Read a `vm.info` body; raises Internal when it is none."""
        if isinstance(body, dict):
            state, config, memory = body.get("state"), body.get("config"), body.get("memory_actual_size")
            if state in VmState._value2member_map_ and isinstance(config, dict):
                return cls(
                    state=VmState(state), config=config, memory_bytes=memory if isinstance(memory, int) else None
                )
        raise Internal(f"vm.info answered without a known state and a config: {body!r:.200}")


@dataclass(frozen=True, slots=True)
class PciDevice:
    """A device that was added to a booted VM: its id, and its address in the guest (`0000:00:02.0`)."""

    device: str
    bdf: str

    @classmethod
    def from_json(cls, body: object) -> "PciDevice | None":
        """Read the answer to an addition, None when the VM is not booted; raises Internal when it is neither."""
        match body:
            case None:
                return None
            case {"id": str(device), "bdf": str(bdf)}:
                return cls(device=device, bdf=bdf)
        raise Internal(f"an added device has no id and bdf: {body!r:.200}")


Counters = Mapping[str, Mapping[str, int]]
"""Device id → counter → value, e.g. `_disk0` → `read_bytes` (bytes), `_net1` → `rx_frames`."""


def counters_from_json(body: object) -> Counters:
    """Read a `vm.counters` body, without sentinels; raises Internal when it is none."""
    if not isinstance(body, dict) or not all(isinstance(device, dict) for device in body.values()):
        raise Internal(f"vm.counters answered no map of maps: {body!r:.200}")
    return {
        device: {name: value for name, value in values.items() if isinstance(value, int) and value <= LARGEST_COUNTER}
        for device, values in body.items()
    }


class Hypervisor(Protocol):
    """One hypervisor process, which holds at most one VM. Requests are handled one at a time.

    Every method raises HypervisorRefused (an answer that says no), Unavailable (nothing answers: gone, or not there
    yet) or DeadlineExceeded.
    """

    async def ping(self) -> VmmIdentity:
        """Answer when the process is ready for requests."""
        ...

    async def create(self, config: VmConfig) -> None:
        """Store the configuration; almost nothing of it is checked before `VmAction.BOOT`."""
        ...

    async def info(self) -> VmInfo:
        """State and configuration; refused with `Refusal.NO_VM` before `create`."""
        ...

    async def counters(self) -> Counters:
        """I/O counters of a booted VM."""
        ...

    async def act(self, action: VmAction) -> None:
        """Carry one action out; the answer to `POWER_BUTTON` says nothing about the guest obeying."""
        ...

    async def add_disk(self, disk: Disk) -> PciDevice | None:
        """Hot-add a disk to a booted VM; None where there is only a configuration, which then has it.

        The guest sees it some time later, as `/sys/block/vd*` with the disk's serial.
        """
        ...

    async def remove_device(self, device: str) -> None:
        """Ask the guest to let the device with that id go: it may take its time, or never do."""
        ...

    async def resize(self, size: Size) -> None:
        """Change what the VM has; a balloon is asked of the guest, which gives what it can. Not every one can all."""
        ...

    async def snapshot(self, folder: str) -> None:
        """Write a paused VM into an existing directory; it stays paused, and its disks are not in it."""
        ...

    async def restore(self, folder: str, *, resume: bool) -> None:
        """Bring a snapshot back where there is no VM, paused unless it shall `resume`."""
        ...
