"""The lifecycle is a table, and the README's diagram is made from it."""

from pathlib import Path

import pytest

from schema.errors import Internal
from schema.status import VmPhase
from worker import lifecycle
from worker.backoff import jittered, pause_after
from worker.lifecycle import TRANSITIONS, VmEvent, diagram
from worker.tests.builders import a_content, an_attachment
from worker.vm_state import Process, Step, VmState

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_shows_the_diagram_of_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README.read_text()


def test_every_phase_can_be_reached_and_all_but_gone_can_be_left() -> None:
    assert {*TRANSITIONS.values(), VmPhase.WAITING} == set(VmPhase)
    assert {start for start, _ in TRANSITIONS} == set(VmPhase) - {VmPhase.GONE}


def test_every_phase_leads_to_gone() -> None:
    ends, before = {VmPhase.GONE}, set[VmPhase]()
    while ends != before:
        before = set(ends)
        ends |= {start for (start, _), end in TRANSITIONS.items() if end in ends}
    assert ends == set(VmPhase)


def test_a_move_that_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(Internal, match="nothing leads from waiting by booted"):
        lifecycle.moved(VmState("web-0"), VmEvent.BOOTED, now=1.0)


def test_the_time_of_each_phase_is_kept_in_milliseconds() -> None:
    content = a_content()
    state = VmState("web-0", phase_since=10.0)
    for step, done, seconds in (
        (Step.PULL, lifecycle.pulled, 0.5),
        (Step.PREPARE, lifecycle.prepared, 0.25),
    ):
        state = lifecycle.begun(state, step, content=content, now=state.phase_since)
        state = done(state, now=state.step_since + seconds)
    state = lifecycle.begun(state, Step.BOOT, content=content, now=20.0)
    state = lifecycle.booted(state, Process(1, 20.1, an_attachment()), now=20.1)
    state = lifecycle.judged(state, healthy=True, now=23.1)
    assert state.phase_ms == {"pulling": 500, "preparing": 250, "booting": 100, "running": 3000}
    assert state.phase is VmPhase.HEALTHY


def test_a_failed_boot_has_closure_and_image_looked_at_again() -> None:
    content = a_content()
    state = VmState("web-0", pulled=frozenset({content.content_hash}), prepared=frozenset({content.content_hash}))
    state = lifecycle.begun(state, Step.BOOT, content=content, now=1.0)
    state = lifecycle.step_failed(state, "no such disk", now=2.0)
    assert (state.phase, state.reason, state.retry_at) == (VmPhase.WAITING, "no such disk", 3.0)
    assert state.pulled == state.prepared == frozenset()


def test_pauses_double_up_to_five_minutes_and_are_spread_over_their_upper_half() -> None:
    assert [pause_after(count) for count in (0, 1, 2, 8, 9, 100)] == [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]
    assert jittered(10.0, draw=0.0) == 5.0
    assert jittered(10.0, draw=0.5) == 7.5
