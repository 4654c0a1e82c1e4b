"""What people are told of those who come and go."""

from control_plane.identity.admission import approve, reject
from control_plane.narrate import state_events
from control_plane.state import Snapshot
from control_plane.tests.builders import EPOCH, key_of
from control_plane.tests.identity.test_admission import after, asked, asking
from schema.status import EventKind

EMPTY = Snapshot(epoch=EPOCH)


def told(before: Snapshot, now: Snapshot) -> list[tuple[EventKind, str, str]]:
    return [(event.kind, event.subject, event.message) for event in state_events(before, now, wall_ms=1)]


def test_each_step_of_a_worker_is_told_once() -> None:
    waiting = asked(EMPTY, asking())
    fingerprint = key_of("w0").public.fingerprint
    assert told(EMPTY, waiting) == [(EventKind.JOIN, "w0", f"asks to join from 198.51.100.1 with key {fingerprint}")]
    assert told(waiting, waiting) == []
    inside = after(waiting, approve(waiting, "w0", by="uid:0", wall_ms=2))
    assert told(waiting, inside) == [(EventKind.JOIN, "w0", "approved by uid:0")]
    refused = after(waiting, reject(waiting, "w0", by="token:ops", reason="not ours", wall_ms=2))
    assert told(waiting, refused) == [(EventKind.JOIN, "w0", "rejected by token:ops: not ours")]
