"""Updates of refs: what CI was told, what waits, and what the hook missed; it touches no file.

The outbox is level-triggered. `told` is the state of all refs that CI has been, or is about to be, told of. Each note
of the hook moves it; where the repository then still differs (a hook that was killed between git's update and its
note, notes written in another order than the updates), the difference itself becomes a note. So the last thing that
CI hears of a ref is always what the ref is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schema.builds import ZERO_SHA


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """A ref went from `old` to `new` (full object names; zeroes for a ref that was not or is no more)."""

    ref: str
    old: str
    new: str


def told_after(told: Mapping[str, str], updates: Iterable[RefUpdate]) -> dict[str, str]:
    """What CI knows of the refs once it has heard `updates`, in their order."""
    after = dict(told)
    for update in updates:
        if is_zero(update.new):
            after.pop(update.ref, None)
        else:
            after[update.ref] = update.new
    return after


def missed_updates(told: Mapping[str, str], current: Mapping[str, str]) -> tuple[RefUpdate, ...]:
    """The updates that lead from what CI knows to what is, by ref name."""
    return tuple(
        RefUpdate(ref=ref, old=told.get(ref, ZERO_SHA), new=current.get(ref, ZERO_SHA))
        for ref in sorted(told.keys() | current.keys())
        if told.get(ref) != current.get(ref)
    )


def refs_of(listing: bytes) -> dict[str, str]:
    """The refs in the output of `git for-each-ref --format='%(objectname) %(refname)'`.

    A name that the hook would have refused (not UTF-8, too long, reserved) is left out: CI is never told of it.
    """
    refs = {}
    for line in listing.split(b"\n"):
        sha, _, name = line.partition(b" ")
        if len(name) > 255 or name.startswith(b"refs/procurator/"):
            continue
        try:
            ref = name.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if ref:
            refs[ref] = sha.decode("ascii")
    return refs


def is_zero(sha: str) -> bool:
    """Whether this object name stands for no object."""
    return set(sha) == {"0"}
