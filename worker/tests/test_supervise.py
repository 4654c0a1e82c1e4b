"""The loop on a machine in memory, with time that jumps."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from schema.blueprint import CheckType, HealthCheck, UpdatePolicy, UpdateStrategy
from schema.status import View, VmPhase
from worker.adoption import Found
from worker.health import CheckResult
from worker.records import Records
from worker.supervise import Supervisor
from worker.tests.builders import a_content, a_desired, a_spec, an_attachment, some_limits, store_path
from worker.tests.scripted_steps import ScriptedSteps, at_once
from worker.vm_state import Content, Desired

PASS, FAIL = CheckResult(True, ""), CheckResult(False, "tcp 80: connection refused")


class Answers:
    """Answers checks by address: what is not told passes."""

    def __init__(self) -> None:
        self.bad: set[str] = set()

    async def __call__(
        self, checks: tuple[HealthCheck, ...], *, address: str, timeout_ms: int
    ) -> tuple[CheckResult, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(FAIL if address in self.bad else PASS for _ in checks)


def boottime_ns() -> int:
    """The clock of these tests has no other time than trio's."""
    return int(trio.current_time() * 1e9)


class Disk:
    """Does at once what would wait for a disk, or where that is slow, when it may go on."""

    def __init__(self) -> None:
        self.is_slow = False
        self._waiting: list[trio.Event] = []

    async def __call__(self, work: Callable[[], None]) -> None:
        if self.is_slow:
            self._waiting.append(trio.Event())
            await self._waiting[-1].wait()
        await at_once(work)

    def go_on(self) -> None:
        self.is_slow = False
        for event in self._waiting:
            event.set()


class Fleet:
    def __init__(self, folder: Path, steps: ScriptedSteps, **limits: int) -> None:
        self.steps = steps
        self.disk = Disk()
        self.answers = Answers()
        self.records = Records(folder)
        self.supervisor = Supervisor(
            steps=steps,
            records=self.records,
            limits=some_limits(**limits),
            min_healthy_ms=2000,
            ask=self.answers,
            boottime_ns=boottime_ns,
            in_thread=self.disk,
        )

    def assign(self, *entries: Desired) -> None:
        self.supervisor.assign({entry.instance: entry for entry in entries}, ())

    def phase(self, instance: str = "web-0") -> VmPhase:
        return self.supervisor.vms[instance].phase


@asynccontextmanager
async def a_fleet(folder: Path, steps: ScriptedSteps | None = None, **limits: int) -> AsyncIterator[Fleet]:
    fleet = Fleet(folder, steps or ScriptedSteps(), **limits)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.supervisor.run)
        yield fleet
        nursery.cancel_scope.cancel()


def some_webs(count: int) -> list[Desired]:
    content = a_content(spec=a_spec(replicas=count))
    return [a_desired(f"web-{number}", content=content, number=number + 2) for number in range(count)]


async def test_nothing_is_touched_before_the_first_assignment(tmp_path: Path, autojump_clock: MockClock) -> None:
    content = a_content()
    steps = ScriptedSteps(left={"web-0": Found("web-0", content, an_attachment(), pid=7, started_at=-5.0)})
    async with a_fleet(tmp_path, steps) as fleet:
        await trio.sleep(100)
        assert steps.done == []
        assert fleet.phase() is VmPhase.HEALTHY
        fleet.assign(a_desired(content=content))
        await trio.sleep(100)
        assert steps.kinds() == ["update"], "what runs is what is assigned"


async def test_pulls_and_boots_are_bounded_and_the_rest_follows(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path, parallel_boots=2, parallel_pulls=3) as fleet:
        fleet.assign(*some_webs(8))
        await trio.sleep(60)
        assert all(fleet.phase(f"web-{number}") is VmPhase.HEALTHY for number in range(8))
        assert (fleet.steps.most_at_once["boot"], fleet.steps.most_at_once["pull"]) == (2, 3)


async def test_a_crash_loop_is_restarted_after_ever_longer_pauses(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path, ScriptedSteps(seconds=0.0, lives_for=0.5)) as fleet:
        fleet.answers.bad.add("10.77.0.2")
        content = a_content(spec=a_spec(start_deadline_ms=3_600_000))
        fleet.assign(a_desired(content=content))
        await trio.sleep(20)
        boots = fleet.steps.times("boot")
        assert [round(after - before, 1) for before, after in pairwise(boots)] == [
            1.5,
            2.5,
            4.5,
            8.5,
        ]
        state = fleet.supervisor.vms["web-0"]
        assert state.restarts >= 4 and state.reason == "it crashed"


async def test_a_vm_that_cannot_be_stopped_is_not_forgotten(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path, ScriptedSteps(fails={"stop": 3})) as fleet:
        fleet.assign(a_desired())
        await trio.sleep(10)
        fleet.assign()
        await trio.sleep(4)
        assert fleet.phase() is VmPhase.STOPPING
        await trio.sleep(60)
        assert fleet.supervisor.vms == {} and fleet.steps.running == {}


async def test_a_step_that_is_not_wanted_any_more_is_undone(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path, ScriptedSteps(seconds=4)) as fleet:
        fleet.assign(a_desired(content=a_content(1, a_spec(text="one"))))
        await trio.sleep(2)
        fleet.assign(a_desired(content=a_content(2, a_spec(text="two"))))
        await trio.sleep(100)
        assert fleet.steps.kinds() == ["update", "update", "pull undone", "pull", "prepare", "boot"]
        fleet.assign()
        await trio.sleep(100)
        assert fleet.supervisor.vms == {}


async def test_an_agent_that_ends_in_the_middle_of_a_boot_undoes_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    steps = ScriptedSteps(seconds=10)
    async with a_fleet(tmp_path, steps) as fleet:
        fleet.assign(a_desired())
        await trio.sleep(25)
    assert steps.kinds()[-1] == "boot undone"
    assert steps.running == {}


async def test_while_the_network_cannot_be_had_nothing_is_started(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path, ScriptedSteps(fails={"update": 5})) as fleet:
        fleet.assign(a_desired())
        await trio.sleep(4.5)
        assert fleet.steps.done == []
        await trio.sleep(60)
        assert fleet.phase() is VmPhase.HEALTHY


async def test_what_was_given_up_is_remembered_by_the_next_agent(tmp_path: Path, autojump_clock: MockClock) -> None:
    good, bad = a_content(1, a_spec(text="good")), a_content(2, a_spec(text="bad"))
    entry = a_desired(content=bad, fallback=good)
    async with a_fleet(tmp_path) as fleet:
        fleet.answers.bad.add("10.77.0.2")
        fleet.assign(entry)
        await trio.sleep(13)  # the bad one runs, and its deadline has just passed
        fleet.answers.bad.clear()
        await trio.sleep(60)
        state = fleet.supervisor.vms["web-0"]
        assert (fleet.phase(), state.content) == (VmPhase.HEALTHY, good)
    left = {"web-0": Found("web-0", good, entry.attachment, pid=9, started_at=0.0)}
    async with a_fleet(tmp_path, ScriptedSteps(left=left)) as again:
        again.assign(entry)
        await trio.sleep(1000)
        assert again.steps.kinds() == ["update"]


async def test_a_vm_that_asks_no_checks_is_healthy_after_its_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path, ScriptedSteps(seconds=0.0)) as fleet:
        fleet.assign(a_desired(content=a_content(spec=a_spec(checks=()))))
        await trio.sleep(1.5)
        assert fleet.phase() is VmPhase.RUNNING
        await trio.sleep(1.5)
        assert fleet.phase() is VmPhase.HEALTHY


async def test_a_vm_is_healthy_when_the_host_and_the_guest_agree(tmp_path: Path, autojump_clock: MockClock) -> None:
    checks = (HealthCheck(type=CheckType.TCP, port=80), HealthCheck(type=CheckType.READINESS))
    steps = ScriptedSteps(seconds=0.0, guest_says=CheckResult(False, "readiness: not ready"))
    async with a_fleet(tmp_path, steps) as fleet:
        fleet.assign(a_desired(content=a_content(spec=a_spec(checks=checks))))
        await trio.sleep(3)
        assert fleet.phase() is VmPhase.RUNNING
        state = fleet.supervisor.vms["web-0"]
        assert (state.health.view, state.guest.view) == (View.OK, View.FAILING)
        assert state.complaint == "readiness: not ready"
        steps.guest_says = CheckResult(True, "")
        await trio.sleep(3)
        assert fleet.phase() is VmPhase.HEALTHY


def a_switching(text: str, **more: object) -> Content:
    return a_content(spec=a_spec(text=text, update=UpdatePolicy(strategy=UpdateStrategy.SWITCH), **more))  # type: ignore[arg-type]


def switchable(text: str, **more: object) -> Content:
    """Differs from others in its System alone."""
    made = a_switching(text, **more).spec
    kernel = {"kernel": f"{store_path('kernel')}/bzImage", "initrd": f"{store_path('initrd')}/initrd"}
    return a_content(spec=made.model_copy(update={**kernel, "cmdline": f"console=ttyS0 init={made.toplevel}/init"}))


async def test_a_vm_becomes_its_next_system_in_place_and_keeps_its_process(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    steps = ScriptedSteps(seconds=0.1)
    async with a_fleet(tmp_path, steps) as fleet:
        fleet.assign(a_desired(content=switchable("one")))
        await trio.sleep(3)
        before = fleet.supervisor.vms["web-0"].process
        assert before is not None and fleet.phase() is VmPhase.HEALTHY
        fleet.assign(a_desired(content=switchable("two")))
        await trio.sleep(3)
        state = fleet.supervisor.vms["web-0"]
        assert state.process is not None and state.content is not None
        assert (state.process.pid, len(state.process.layers)) == (before.pid, 2)
        assert state.content.spec.toplevel == switchable("two").spec.toplevel
        assert fleet.phase() is VmPhase.HEALTHY
        assert steps.kinds().count("boot") == 1 and "stop" not in steps.kinds()


async def test_what_cannot_be_switched_in_place_is_replaced_and_says_why(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    steps = ScriptedSteps(seconds=0.1)
    async with a_fleet(tmp_path, steps) as fleet:
        fleet.assign(a_desired(content=switchable("one")))
        await trio.sleep(3)
        fleet.assign(a_desired(content=switchable("two", memory_mb=128)))
        await trio.sleep(3)
        assert "cannot be switched to in place: another memory size" in caplog.text
        steps.refuses_switch = "the guest cannot be asked"
        fleet.assign(a_desired(content=switchable("three", memory_mb=128)))
        await trio.sleep(3)
        assert "cannot be switched to in place: the guest cannot be asked" in caplog.text
        assert steps.kinds().count("boot") == 3
        assert fleet.phase() is VmPhase.HEALTHY


async def test_a_system_that_does_not_get_healthy_is_switched_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    steps = ScriptedSteps(seconds=0.1)
    async with a_fleet(tmp_path, steps) as fleet:
        good, bad = switchable("good"), switchable("bad", start_deadline_ms=5000)
        fleet.assign(a_desired(content=good))
        await trio.sleep(3)
        fleet.answers.bad.add("10.77.0.2")
        fleet.assign(a_desired(content=bad, fallback=good))
        await trio.sleep(2)
        assert steps.systems["web-0"] == bad.spec.toplevel
        await trio.sleep(5)
        fleet.answers.bad.clear()
        await trio.sleep(3)
        state = fleet.supervisor.vms["web-0"]
        assert state.content == good and fleet.phase() is VmPhase.HEALTHY
        assert state.memory.given_up is not None and state.memory.given_up.key == bad.key
        assert steps.kinds().count("boot") == 1, "back in place, too"


async def test_after_six_closures_a_vm_is_replaced(tmp_path: Path, autojump_clock: MockClock) -> None:
    steps = ScriptedSteps(seconds=0.0)
    async with a_fleet(tmp_path, steps) as fleet:
        for number in range(10):
            fleet.assign(a_desired(content=switchable(f"text-{number}")))
            await trio.sleep(3)
        assert fleet.phase() is VmPhase.HEALTHY
        assert (steps.kinds().count("switch"), steps.kinds().count("boot")) == (8, 2)


async def test_what_cannot_be_written_now_is_written_later_and_no_vm_suffers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    in_the_way = tmp_path / "memories.1"
    in_the_way.mkdir()  # in the place of a file: as good as a full disk
    async with a_fleet(tmp_path) as fleet:
        fleet.assign(a_desired())
        await trio.sleep(10)
        assert fleet.phase() is VmPhase.HEALTHY
        in_the_way.rmdir()
        fleet.supervisor.restart("web-0")
        await trio.sleep(10)
        assert Records(tmp_path).memories.of("web-0").proven


async def test_what_a_vm_has_proven_is_on_disk_before_anybody_is_told_that_it_is_healthy(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_fleet(tmp_path) as fleet:
        fleet.disk.is_slow = True
        fleet.assign(a_desired())
        await trio.sleep(10)
        assert (fleet.phase(), Records(tmp_path).memories.of("web-0").proven) == (VmPhase.RUNNING, "")
        fleet.disk.go_on()
        await trio.sleep(1)
        assert fleet.phase() is VmPhase.HEALTHY
        assert Records(tmp_path).memories.of("web-0").proven == a_content().content_hash


async def test_a_verdict_that_waited_for_the_disk_is_not_told_of_what_the_vm_has_become_meanwhile(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_fleet(tmp_path) as fleet:
        fleet.disk.is_slow = True
        fleet.assign(a_desired())
        await trio.sleep(7)
        assert fleet.phase() is VmPhase.RUNNING
        fleet.assign()
        await trio.sleep(0.5)
        fleet.disk.go_on()
        await trio.sleep(0.1)
        assert fleet.phase() is VmPhase.STOPPING
        await trio.sleep(5)
        assert fleet.supervisor.vms == {}


async def test_a_guest_that_was_left_amid_a_switch_is_asked_what_it_runs(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    one, steps = switchable("one"), ScriptedSteps(seconds=0.0)
    steps.systems["web-0"] = switchable("two").spec.toplevel
    left = Found("web-0", one, a_desired().attachment, 77, -50.0, layers=(one.content_hash,), is_doubtful=True)
    steps.left["web-0"] = left
    async with a_fleet(tmp_path, steps) as fleet:
        fleet.assign(a_desired(content=one))
        await trio.sleep(10)
        assert steps.kinds().count("boot") == 1
        assert fleet.supervisor.vms["web-0"].content == one


async def test_a_guest_that_resets_itself_into_an_older_system_is_started_anew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    steps = ScriptedSteps(seconds=0.0)
    async with a_fleet(tmp_path, steps) as fleet:
        fleet.assign(a_desired(content=switchable("one")))
        await trio.sleep(3)
        fleet.assign(a_desired(content=switchable("two")))
        await trio.sleep(3)
        steps.systems["web-0"] = switchable("one").spec.toplevel
        await trio.sleep(10)
        state = fleet.supervisor.vms["web-0"]
        assert steps.kinds().count("boot") == 2
        assert state.process is not None and len(state.process.layers) == 1
        assert state.content == switchable("two")
