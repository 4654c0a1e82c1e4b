"""How long to pause before the next try; it keeps no state and draws no random numbers."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0


def pause_after(failures: int, *, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> float:
    """Seconds to wait after `failures` earlier failures in a row: doubling from `first` up to `longest`."""
    return min(longest, first * 2.0 ** min(failures, 30))


def jittered(pause: float, *, draw: float) -> float:
    """`pause` spread over its upper half by `draw` in [0, 1), so that many do not come back at once."""
    return pause * (0.5 + draw / 2)
