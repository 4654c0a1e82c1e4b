"""Which of what is assigned a draining worker takes; it stops nothing itself (pure)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.vm_state import Desired


@dataclass(frozen=True, slots=True)
class Drain:
    """A worker that takes nothing but `staying`, what it had when this began, and from `until` on not even that.

    `until` is on the clock of whoever asks.
    """

    reason: str
    staying: frozenset[str]
    until: float = math.inf


def accepted(desired: Mapping[str, Desired], drains: Iterable[Drain], *, now: float) -> Mapping[str, Desired]:
    """What is left of `desired`; all of it without a drain."""
    for drain in drains:
        desired = {name: one for name, one in desired.items() if now < drain.until and name in drain.staying}
    return desired


def why_not(instance: str, drains: Iterable[Drain], *, now: float) -> str:
    """Why an instance is not accepted, for its report; empty when it is."""
    for drain in drains:
        if now >= drain.until or instance not in drain.staying:
            return f"this worker is drained{f': {drain.reason}' if drain.reason else ''}"
    return ""
