"""How long a worker's silence may last before what follows; all in milliseconds of CLOCK_BOOTTIME."""

from dataclasses import dataclass

from control_plane.state import Snapshot


@dataclass(frozen=True, slots=True)
class Timing:
    """The settings of liveness.

    After `lost_after_ms` without a report a worker is lost. Its fenced singletons count as ended `margin_ms` after the
    last lease that it can have: the margin is for clocks that run apart and for the ending itself. Eviction stops while
    more than `mass_percent` of the workers fell silent within `mass_window_ms`.
    """

    lost_after_ms: int = 40_000
    interval_ms: int = 10_000
    lease_ms: int = 40_000
    margin_ms: int = 10_000
    mass_percent: int = 55
    mass_window_ms: int = 60_000

    @property
    def vanished_after_ms(self) -> int:
        """After how much silence a worker counts towards a mass loss: two reports missed, and before it is lost.

        Workers that vanish at one moment were last heard at different ones: none is evicted before the others count.
        """
        return max(self.lost_after_ms - 2 * self.interval_ms, self.lost_after_ms // 2)

    @property
    def suspended_after_ms(self) -> int:
        """Between two looks of ours: after that we were suspended or stopped, and judge nobody by what we missed."""
        return max(self.lease_ms // 2, 1)

    @property
    def longest_pause_ms(self) -> int:
        """Between two looks of ours, so that they are no sign of a suspension."""
        return max(min(self.lost_after_ms, self.suspended_after_ms // 2), 1)

    def fenced_after_ms(self, snapshot: Snapshot) -> int:
        """After how much silence a worker's fenced singletons have ended, also those under an earlier, longer lease."""
        return max(self.lost_after_ms, max(self.lease_ms, snapshot.liveness.lease_ms) + self.margin_ms)


DEFAULT = Timing()
