"""What a request to the dev hypervisor can come to, and what a guest may tell by itself; it builds no HTTP."""

from enum import Enum
from typing import NamedTuple

Json = dict[str, object]


class Refused(Exception):
    """An answer that says no: `causes` outermost first, as recorded after `Error from API`."""

    def __init__(self, status: int, *causes: str) -> None:
        super().__init__(": ".join(causes))
        self.status = status
        self.causes = causes


class GuestFailed(Exception):
    """The guest's side could not do it: `causes` outermost first."""

    def __init__(self, *causes: str) -> None:
        super().__init__(": ".join(causes))
        self.causes = causes


class BootFailure(Enum):
    """The three kinds of failed boot, recorded on v53; all of them leave `state: Created`."""

    EARLY = "the configuration stays as it was, a second boot checks it again"
    DEVICE = "the whole list of that device's kind is dropped from the configuration"
    LATE = "the VM's object stays, and a second boot is refused until shutdown or delete"


class BootFailed(GuestFailed):
    """A boot that did not come about; `kind_of_device` (a key of the configuration) goes with `BootFailure.DEVICE`."""

    def __init__(self, failure: BootFailure, *causes: str, kind_of_device: str | None = None) -> None:
        super().__init__(*causes)
        self.failure = failure
        self.kind_of_device = kind_of_device


class GuestEnd(Enum):
    """How a guest stopped by itself."""

    POWERED_OFF = "powered off"
    CRASHED = "crashed"


class GuestReset(NamedTuple):
    """The guest reset itself and goes on from its firmware."""


class Unplugged(NamedTuple):
    """The guest let the device in that slot go."""

    slot: int


class BalloonChanged(NamedTuple):
    """So many bytes of its memory the guest has now."""

    guest_bytes: int


GuestEvent = GuestEnd | GuestReset | Unplugged | BalloonChanged


class VmmPanicked(Exception):
    """An input that kills a real hypervisor (recorded): the process ends without an answer."""
