"""What to do at start with each runtime directory that an earlier run of the worker left; it looks at none itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.vm_state import Attachment, Content


@dataclass(frozen=True, slots=True)
class Found:
    """A runtime directory: what was last recorded as booted there, and the hypervisor if one really runs.

    `content` is None where the record is unreadable; `is_doubtful`: it names two, of which it may run either; `pid` is
    0 where no process matches pid, start time and socket.
    """

    instance: str
    content: Content | None
    attachment: Attachment | None
    pid: int = 0
    started_at: float = 0.0
    remains: str = ""
    is_fenced: bool = False
    layers: tuple[str, ...] = ()
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Adopt:
    """A living VM: taken on untouched, whether it is wanted is for the reconciler."""

    instance: str
    content: Content
    attachment: Attachment
    pid: int
    started_at: float
    is_fenced: bool = False
    layers: tuple[str, ...] = ()
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Clear:
    """Remains of a VM that does not live, or that nothing is known of: ended and cleared away."""

    instance: str
    reason: str


def decide(found: Mapping[str, Found]) -> tuple[Adopt | Clear, ...]:
    """One decision for each runtime directory, in the order of the instances' names."""
    return tuple(_decide(found[instance]) for instance in sorted(found))


def _decide(one: Found) -> Adopt | Clear:
    if one.pid == 0:
        return Clear(one.instance, one.remains or "its hypervisor does not run any more")
    if one.content is None or one.attachment is None:
        return Clear(one.instance, "what was booted there is not recorded")
    return Adopt(
        one.instance,
        one.content,
        one.attachment,
        one.pid,
        one.started_at,
        one.is_fenced,
        one.layers,
        one.is_doubtful,
    )
