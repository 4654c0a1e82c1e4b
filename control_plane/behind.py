"""What a worker that knows more than the database changes: an older copy was put back; it sees no other sign of that.

A worker obeys no lower revision of an epoch than it has obeyed, and would wait for ever for one that is higher.
"""

from control_plane.events import RevisionRaised, StateEvent
from control_plane.state import Snapshot
from schema.assignment import Seen
from schema.errors import InvalidInput

MOST = 2**52
"""No revision comes near it: who claims more is not believed, as what is written has to stay below 2^53."""


def knows_more(snapshot: Snapshot, worker_id: str, seen: Seen | None) -> bool:
    """Whether the worker has obeyed a revision of this database that the database does not have yet."""
    worker = snapshot.workers.get(worker_id)
    return bool(worker and seen and seen.epoch == snapshot.epoch and seen.revision > worker.revision)


def caught_up(snapshot: Snapshot, worker_id: str, seen: Seen) -> tuple[StateEvent, ...]:
    """A revision above the one that the worker has obeyed; nothing where there is one. Raises InvalidInput."""
    if not knows_more(snapshot, worker_id, seen):
        return ()
    if seen.revision >= MOST:
        raise InvalidInput(f"worker {worker_id!r} says that it obeys revision {seen.revision}, which nobody ever gave")
    return (RevisionRaised(worker_id, seen.revision + 1),)
