"""The answer to a name that nobody has: an error that says which names there are; it looks up nothing else."""

from collections.abc import Sequence

from control_plane.state import Snapshot, natural
from schema.errors import NotFound
from schema.names import printable

MOST_NAMED = 5
"""Names that an error lists."""


def unknown_worker(snapshot: Snapshot, name: str) -> NotFound:
    """For an id that is no worker's."""
    return NotFound(f"there is no worker {_shown(name)}; {_listed(sorted(snapshot.workers), what='workers')}")


def unknown_instance(snapshot: Snapshot, name: str) -> NotFound:
    """For a name that is no instance's. Who gave a VM's name is told its instances."""
    of_vm = [one.instance for one in snapshot.placements.values() if one.vm == name]
    known = of_vm or list(snapshot.placements)
    what = f"instances of {printable(name)}" if of_vm else "instances"
    return NotFound(f"there is no instance {_shown(name)}; {_listed(sorted(known, key=natural), what=what)}")


def _shown(name: str) -> str:
    return repr(printable(name)[:100])


def _listed(names: Sequence[str], *, what: str) -> str:
    if not names:
        return f"there are no {what} yet"
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{what}: {', '.join(names[:MOST_NAMED])}{rest}"
