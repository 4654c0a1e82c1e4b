"""How much one guest may ask: a bucket of questions that fills with time; pure, and it reads no clock."""

from dataclasses import dataclass, field

PER_SECOND = 50.0
BURST = 200.0


@dataclass(slots=True)
class Load:
    """Buckets by guest. Times are seconds on the caller's clock."""

    per_second: float = PER_SECOND
    burst: float = BURST
    _level: dict[str, tuple[float, float]] = field(default_factory=dict)

    def allows(self, guest: str, *, now: float) -> bool:
        """Whether the guest may ask one more; that one is counted."""
        left, at = self._level.get(guest, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.per_second)
        if left < 1.0:
            self._level[guest] = (left, now)
            return False
        self._level[guest] = (left - 1.0, now)
        return True

    def keep(self, guests: frozenset[str]) -> None:
        """Forget all others."""
        self._level = {guest: level for guest, level in self._level.items() if guest in guests}
