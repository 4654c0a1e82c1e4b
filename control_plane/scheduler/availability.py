"""Whether a worker may take instances, as input of every decision; it finds out nothing about a worker itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """What a worker is to the scheduler."""

    READY = "ready"
    CORDONED = "cordoned"
    DRAINING = "draining"
    LOST = "lost"
    PENDING = "pending"
    RETIRED = "retired"
    UNHEARD = "not heard of"


@dataclass(frozen=True, slots=True)
class Availability:
    """A worker's standing and why. Only a ready one takes what it does not have yet; all keep what they have."""

    standing: Standing
    reason: str = ""

    @property
    def takes_new(self) -> bool:
        """Whether an instance may be placed there."""
        return self.standing is Standing.READY

    @property
    def sheds(self) -> bool:
        """Whether what is there shall go elsewhere."""
        return self.standing is Standing.DRAINING

    def __str__(self) -> str:
        return f"{self.standing}: {self.reason}" if self.reason else str(self.standing)


READY = Availability(Standing.READY)
LOST = Availability(Standing.LOST, "not heard of for too long")
UNHEARD = Availability(Standing.UNHEARD)

Availabilities = Mapping[str, Availability]
"""By worker. A worker that is not in it has not been heard of."""
