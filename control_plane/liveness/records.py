"""What is kept of workers that take nothing new or were given up, as part of the snapshot; it decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cordon:
    """An operator's word that a worker takes nothing new, and with `draining` that what it has goes elsewhere.

    `since_ms` and `until_ms` are Unix milliseconds; after `until_ms` (0: never) everything leaves, whether there is a
    place for it or not.
    """

    worker_id: str
    draining: bool = False
    reason: str = ""
    actor: str = ""
    since_ms: int = 0
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Eviction:
    """A worker that was given up, and the instances that were taken from it since without its word.

    Until it reports an assignment of `revision` or later and none of `instances`, it may still run them: it takes
    nothing new, and when `fenced` singletons are among them it gets no lease. `at_ms` is Unix milliseconds.
    """

    worker_id: str
    revision: int
    instances: tuple[str, ...] = ()
    fenced: bool = False
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class LivenessState:
    """By worker. `lease_ms` is the longest lease that a worker can still have of us; 0 before the first was given."""

    cordons: Mapping[str, Cordon] = field(default_factory=dict)
    evictions: Mapping[str, Eviction] = field(default_factory=dict)
    lease_ms: int = 0


NO_LIVENESS = LivenessState()
