"""How long to wait before a service that ended is started again; it waits for nothing."""

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A service that ran this long has recovered: its next end counts as the first."""

EXIT_SETTINGS = 2
"""Wrong settings or options: the same again would end the same (`schema.service`)."""

TRIES = 3
"""How often one that has never listened is started."""


def is_hopeless(code: int | None, *, failures: int, has_listened: bool) -> bool:
    """Whether to give up a service that ended with `code`: what has once listened is tried for ever."""
    return code == EXIT_SETTINGS or (not has_listened and failures >= TRIES)


def next_failures(failures: int, *, ran_seconds: float) -> int:
    """How often it has now ended in a row."""
    return 1 if ran_seconds >= STEADY_SECONDS else failures + 1


def delay(failures: int) -> float:
    """Seconds to wait after the `failures`-th end in a row, from 1."""
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** (min(failures, 20) - 1))
