"""What runs below the API, as the state machine sees it: QEMU, or the fake's script; nothing is carried out here."""

from enum import Enum
from typing import Protocol

from worker.vmm.dev.answers import Json
from worker.vmm.dev.slots import Slots
from worker.vmm.dev.snapshot import Snapshot


class Steering(Enum):
    """What is asked of a running guest, or done to it, without more words."""

    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    POWER_BUTTON = "power button"
    NMI = "NMI"


class Devices(Protocol):
    """The devices of a booted guest, by their slot. Everything raises GuestFailed."""

    def plug(self, kind: str, device: Json, slot: int) -> None:
        """Put a device (`disks`, `net`, `vsock`) with its id into a free slot."""
        ...

    def unplug(self, slot: int) -> None:
        """Ask the guest to let it go; `Unplugged` comes when it has."""
        ...

    def resize_disk(self, slot: int, size: int) -> None:
        """Make a disk `size` bytes long."""
        ...

    def resize_balloon(self, size: int) -> None:
        """Ask the guest for `size` bytes of its memory."""
        ...


class Guest(Devices, Protocol):
    """One guest at a time."""

    def open_serial(self, config: Json) -> None:
        """At create: open the serial console's file or socket; raises OSError."""
        ...

    def close_serial(self) -> None:
        """At delete: close it and remove the socket."""
        ...

    def start(self, config: Json, slots: Slots, *, saved: str | None = None) -> None:
        """Start the guest; from the snapshot in the directory `saved` it comes up paused. Raises BootFailed."""
        ...

    def stop(self) -> None:
        """Stop it at once, unasked; nothing when none runs."""
        ...

    def steer(self, steering: Steering) -> None:
        """Pause it, let it go on, reset it, ask it to power off; raises GuestFailed."""
        ...

    def counters(self, config: Json, slots: Slots) -> Json:
        """Device id → counter → value."""
        ...

    def save(self, folder: str, snapshot: Snapshot) -> None:
        """Write a paused guest's memory and devices into an existing directory; raises GuestFailed and OSError."""
        ...

    def load(self, folder: str) -> Snapshot:
        """What a snapshot says; raises GuestFailed and OSError."""
        ...
