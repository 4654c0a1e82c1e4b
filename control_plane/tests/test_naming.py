"""Who asks for a name that nobody has is told those that there are."""

import pytest

from control_plane.naming import unknown_instance, unknown_worker
from control_plane.state import Snapshot
from control_plane.tests.builders import EPOCH, a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.world import World


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web", "there is no instance 'web'; instances of web: web-0, web-1, web-2, web-3, web-4 and 7 more"),
        ("nope-0", "there is no instance 'nope-0'; instances: db-0, web-0, web-1, web-2, web-3 and 8 more"),
        ("\x1b[31mx\n", "there is no instance 'x\\n'; instances: db-0, web-0, web-1, web-2, web-3 and 8 more"),
    ],
)
def test_an_unknown_instance_is_answered_with_those_that_there_are(name: str, words: str) -> None:
    world = World(a_snapshot(w0=some_facts()))
    world.publish(a_generation(1, a_spec("web", replicas=12), a_spec("db")))
    world.run()
    assert unknown_instance(world.snapshot, name).message == words


def test_an_unknown_worker_is_answered_with_those_that_there_are() -> None:
    assert unknown_worker(a_snapshot(w0=some_facts()), "w9").message == "there is no worker 'w9'; workers: w0"
    assert unknown_worker(Snapshot(epoch=EPOCH), "w9").message == "there is no worker 'w9'; there are no workers yet"
