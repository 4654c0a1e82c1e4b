"""The next actions follow from what is assigned, seen and the time alone."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from schema.status import VmPhase
from worker import lifecycle
from worker.reconcile import Begin, Cancel, Fence, Forget, Plan, Stop, reconcile, target_of
from worker.tests.builders import a_content, a_desired, a_spec, some_limits
from worker.vm_state import Attachment, Desired, HealthState, Process, Step, StopFor, VmState


class SimulatedWorker:
    """Carries plans out on values: the shell's part without a machine."""

    def __init__(self, **limits: int) -> None:
        self.limits = some_limits(**limits)
        self.desired: dict[str, Desired] = {}
        self.vms: dict[str, VmState] = {}
        self.purposes: dict[str, StopFor] = {}
        self.now = 100.0
        self.leased_until = float("inf")
        self.booted: list[tuple[str, tuple[int, str]]] = []
        self.stopped: list[tuple[str, StopFor]] = []

    def assign(self, *entries: Desired) -> None:
        self.desired = {entry.instance: entry for entry in entries}

    def look(self) -> Plan:
        plan = reconcile(self.desired, self.vms, now=self.now, leased_until=self.leased_until, limits=self.limits)
        before, self.vms = self.vms, dict(plan.vms)
        self._check(plan, before)
        for action in plan.actions:
            state = self.vms[action.instance]
            match action:
                case Begin(instance, step, content, reason):
                    self.vms[instance] = lifecycle.begun(state, step, content=content, now=self.now, reason=reason)
                case Stop(instance, purpose, reason):
                    self.purposes[instance] = purpose
                    self.vms[instance] = lifecycle.begun(state, Step.STOP, content=None, now=self.now, reason=reason)
                case Cancel(instance):
                    self.vms[instance] = lifecycle.cancelled(state, now=self.now)
                case Forget(instance):
                    del self.vms[instance]
                case Fence():
                    pass
        return plan

    def _check(self, plan: Plan, before: dict[str, VmState]) -> None:
        kinds = [isinstance(action, Begin) for action in plan.actions]
        assert kinds == sorted(kinds), "stops come before boots"
        assert len({action.instance for action in plan.actions}) == len(plan.actions), "one action a VM at a time"
        for action in plan.actions:
            state = plan.vms[action.instance]
            if isinstance(action, Stop) and action.purpose is StopFor.REPLACE and state.process:
                desired = self.desired[action.instance]
                ready = target_of(desired, state).content_hash in state.pulled & state.prepared
                assert ready or state.process.attachment != desired.attachment, "what runs is stopped too early"
            if isinstance(action, Begin):
                assert state.step is None
                desired = self.desired[action.instance]
                assert action.content == target_of(desired, state)
                given = state.memory.given_up
                assert not (given and given.key == action.content.key and desired.fallback)
                if action.step is Step.BOOT:
                    assert state.process is None, "a VM never runs twice"
                    assert action.content.content_hash in state.pulled & state.prepared
        for step, limit in ((Step.BOOT, self.limits.parallel_boots), (Step.PULL, self.limits.parallel_pulls)):
            flying = sum(vm.step is step for vm in before.values())
            begun = sum(isinstance(action, Begin) and action.step is step for action in plan.actions)
            assert flying + begun <= max(limit, flying)

    def finish(self, instance: str, *, fails: bool = False) -> None:
        state = self.vms[instance]
        match state.step:
            case Step.STOP:
                purpose = self.purposes[instance]
                self.stopped.append((instance, purpose))
                self.vms[instance] = lifecycle.stopped(state, purpose, now=self.now)
            case Step() if fails:
                self.vms[instance] = lifecycle.step_failed(state, "it failed", now=self.now)
            case Step.PULL:
                self.vms[instance] = lifecycle.pulled(state, now=self.now)
            case Step.PREPARE:
                self.vms[instance] = lifecycle.prepared(state, now=self.now)
            case Step.BOOT:
                assert state.content
                self.booted.append((instance, state.content.key))
                process = Process(7, self.now, self.desired_attachment(instance), state.content.spec.is_fenced)
                self.vms[instance] = lifecycle.booted(state, process, now=self.now)

    def desired_attachment(self, instance: str) -> Attachment:
        entry = self.desired.get(instance)
        return entry.attachment if entry else a_desired(instance).attachment

    def judge(self, instance: str, *, healthy: bool) -> None:
        state = replace(self.vms[instance], health=HealthState(detail="" if healthy else "port 80 is closed"))
        self.vms[instance] = lifecycle.judged(state, healthy=healthy, now=self.now)

    def die_and_start_again(self) -> None:
        """The agent is killed: what is left is what is on disk, and the processes."""
        before, self.vms = self.vms, {}
        for instance, old in before.items():
            if old.process is None or old.content is None:
                continue
            fresh = VmState(instance, memory=old.memory)
            self.vms[instance] = lifecycle.adopted(fresh, old.content, old.process, now=self.now)
        for instance in self.desired:
            if instance not in self.vms and instance in before:
                self.vms[instance] = VmState(instance, phase_since=self.now, memory=before[instance].memory)

    def settle(self, *, healthy: bool = True, rounds: int = 60) -> None:
        """Let everything succeed until nothing is left to do now."""
        for _ in range(rounds):
            self.look()
            for instance, state in list(self.vms.items()):
                if state.step:
                    self.finish(instance)
                elif healthy and state.is_up:
                    self.judge(instance, healthy=True)

    def phases(self) -> dict[str, VmPhase]:
        return {instance: state.phase for instance, state in self.vms.items()}


BAD = a_content(2, a_spec(text="bad"))
GOOD = a_content(1, a_spec(text="good"))


def test_an_entry_is_pulled_prepared_booted_and_healthy() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    steps = []
    for _ in range(3):
        steps += [action.step for action in worker.look().actions if isinstance(action, Begin)]
        worker.finish("web-0")
    worker.judge("web-0", healthy=True)
    assert steps == [Step.PULL, Step.PREPARE, Step.BOOT]
    assert worker.look().actions == ()
    assert worker.phases() == {"web-0": VmPhase.HEALTHY}


def test_a_changed_content_is_made_ready_beside_the_running_one_and_then_replaces_it() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    worker.assign(a_desired(content=BAD, fallback=GOOD))
    for step in (Step.PULL, Step.PREPARE):
        (action,) = worker.look().actions
        assert isinstance(action, Begin) and action.step is step
        assert worker.vms["web-0"].phase is VmPhase.HEALTHY
        worker.finish("web-0")
    (action,) = worker.look().actions
    assert action == Stop("web-0", StopFor.REPLACE, "making way for generation 2")
    worker.settle()
    assert worker.booted == [("web-0", GOOD.key), ("web-0", BAD.key)]


def test_a_new_generation_with_equal_content_touches_nothing() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    again = a_content(7, a_spec(text="good", labels={"tier": "front"}))
    worker.assign(a_desired(content=again))
    assert worker.look().actions == ()
    assert worker.vms["web-0"].content == again


def test_what_never_gets_healthy_gives_way_to_the_fallback_and_is_not_tried_again() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    worker.assign(a_desired(content=BAD, fallback=GOOD))
    worker.settle(healthy=False)
    worker.judge("web-0", healthy=False)
    worker.now += 10.1
    worker.settle()
    memory = worker.vms["web-0"].memory
    assert worker.booted[-1] == ("web-0", GOOD.key)
    assert memory.given_up and memory.given_up.key == BAD.key
    assert memory.given_up.reason == "not healthy within 10000 ms: port 80 is closed"
    worker.now += 1000
    worker.settle()
    assert len(worker.booted) == 3
    worker.assign(a_desired(content=a_content(3, a_spec(text="bad")), fallback=GOOD))
    worker.settle()
    assert worker.booted[-1] == ("web-0", (3, BAD.content_hash))
    assert worker.vms["web-0"].memory.given_up is None


def test_a_closure_that_cannot_be_pulled_leaves_what_runs_untouched_and_reverts() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    worker.assign(a_desired(content=BAD, fallback=GOOD))
    for _ in range(8):
        worker.look()
        if worker.vms["web-0"].step:
            worker.finish("web-0", fails=True)
        worker.now += 2
    assert worker.booted == [("web-0", GOOD.key)]
    assert worker.vms["web-0"].phase is VmPhase.HEALTHY
    assert worker.vms["web-0"].memory.given_up is not None


def test_without_a_fallback_it_is_stopped_shown_as_failed_and_tried_again_later() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=BAD))
    worker.settle(healthy=False)
    worker.now += 10.1
    worker.settle(healthy=False)
    assert worker.phases() == {"web-0": VmPhase.FAILED}
    plan = worker.look()
    assert plan.wake_at is not None and plan.wake_at > worker.now
    worker.now = plan.wake_at
    worker.settle()
    assert worker.phases() == {"web-0": VmPhase.HEALTHY}


def test_what_was_healthy_once_is_not_reverted_when_it_crashes_or_fails_later() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=BAD, fallback=GOOD))
    worker.settle()
    worker.judge("web-0", healthy=False)
    worker.now += 1000
    assert worker.look().actions == ()
    worker.vms["web-0"] = lifecycle.exited(worker.vms["web-0"], "panic", now=worker.now)
    plan = worker.look()
    assert plan.actions == () and plan.wake_at == worker.now + 1.0
    worker.now += 1.0
    worker.settle(healthy=False)
    assert worker.booted[-1] == ("web-0", BAD.key)
    assert worker.vms["web-0"].restarts == 1


def test_crashes_in_a_row_are_restarted_after_ever_longer_pauses() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    pauses = []
    for _ in range(12):
        worker.vms["web-0"] = lifecycle.exited(worker.vms["web-0"], "exit code 1", now=worker.now)
        wake_at = worker.look().wake_at
        assert wake_at is not None
        pauses.append(wake_at - worker.now)
        worker.now = wake_at
        worker.settle()
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == 300.0


def test_removed_is_stopped_and_forgotten_whatever_it_was_doing() -> None:
    for steps in range(4):
        worker = SimulatedWorker()
        worker.assign(a_desired(content=GOOD))
        for _ in range(steps):
            worker.look()
            worker.finish("web-0")
        worker.look()
        worker.assign()
        worker.settle()
        assert worker.vms == {}
        assert worker.stopped == [("web-0", StopFor.REMOVE)]


def test_what_is_assigned_again_while_it_is_removed_starts_anew() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    worker.assign()
    worker.look()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    assert worker.stopped == [("web-0", StopFor.REMOVE)]
    assert worker.booted == [("web-0", GOOD.key)] * 2


def test_a_vm_whose_address_changes_is_stopped_and_booted_with_the_new_one() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    worker.assign(a_desired(content=GOOD, number=9))
    (action,) = worker.look().actions
    assert action == Stop("web-0", StopFor.REPLACE, "its address or MAC changed")
    worker.settle()
    process = worker.vms["web-0"].process
    assert process and process.attachment.ip == "10.77.0.9"


def test_without_a_fallback_a_closure_that_cannot_be_had_never_stops_the_earlier_content() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    worker.assign(a_desired(content=BAD))
    for _ in range(40):
        worker.look()
        if worker.vms["web-0"].step:
            worker.finish("web-0", fails=True)
        worker.now += 10
    assert worker.stopped == [] and worker.phases() == {"web-0": VmPhase.HEALTHY}
    worker.now += 400
    worker.settle()
    assert worker.booted[-1] == ("web-0", BAD.key), "it is tried for as long as it is assigned"


def test_a_closure_that_was_never_had_is_shown_as_failed_and_tried_again() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=BAD))
    while VmPhase.FAILED not in worker.phases().values():
        worker.look()
        if worker.vms["web-0"].step:
            worker.finish("web-0", fails=True)
        worker.now += 1
    assert worker.vms["web-0"].reason == "not healthy within 10000 ms: it failed"
    worker.now += 400
    worker.settle()
    assert worker.phases() == {"web-0": VmPhase.HEALTHY}


def test_a_restarted_agent_touches_nothing_that_runs_as_it_should() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD), a_desired("web-1", content=BAD, fallback=GOOD, number=3))
    worker.settle()
    for _ in range(3):
        worker.die_and_start_again()
        worker.settle()
        worker.now += 1000
    assert len(worker.booted) == 2 and worker.stopped == []


def test_a_step_for_a_content_that_is_not_wanted_any_more_is_cancelled() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.look()
    worker.assign(a_desired(content=BAD))
    (action,) = worker.look().actions
    assert action == Cancel("web-0", "generation 2 is wanted instead")
    worker.settle()
    assert worker.booted == [("web-0", BAD.key)]


def test_a_boot_that_does_not_fit_waits_for_the_stop_that_makes_room() -> None:
    worker = SimulatedWorker(memory_mb=100)
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    db = a_desired("db-0", content=a_content(2, a_spec("db", memory_mb=64)), number=3)
    worker.assign(db)
    for _ in range(3):
        worker.look()
        if worker.vms["db-0"].step:
            worker.finish("db-0")
    assert worker.vms["web-0"].step is Step.STOP
    assert worker.vms["db-0"].phase is VmPhase.PREPARING
    worker.finish("web-0")
    worker.look()
    assert worker.vms["db-0"].step is Step.BOOT


def test_an_asked_restart_stops_and_boots_the_same_content() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=GOOD))
    worker.settle()
    worker.vms["web-0"] = replace(worker.vms["web-0"], restart_wanted=True)
    worker.settle()
    assert worker.stopped == [("web-0", StopFor.RESTART)]
    assert worker.booted == [("web-0", GOOD.key)] * 2


CONTENTS = [a_content(generation, a_spec(text=text)) for generation, text in ((1, "a"), (2, "b"), (3, "b"), (4, "c"))]


@st.composite
def _moves(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    move = st.tuples(
        st.sampled_from(["assign", "finish", "fail", "exit", "pass", "failing", "wait", "restart", "die"]),
        st.integers(0, 2),
        st.integers(0, 15),
    )
    return draw(st.lists(move, max_size=60))


@given(_moves())
@settings(max_examples=150, deadline=None)
def test_whatever_happens_in_whatever_order_the_worker_converges_afterwards(moves: list[tuple[str, int, int]]) -> None:
    worker = SimulatedWorker(parallel_boots=1, parallel_pulls=1)
    for kind, number, choice in moves:
        instance = f"web-{number}"
        state = worker.vms.get(instance)
        if kind == "assign":
            _assign(worker, instance, choice, number)
        elif kind == "wait":
            worker.now += float(choice)
        elif kind == "die":
            worker.die_and_start_again()
        elif state is None:
            continue
        elif kind in ("finish", "fail") and state.step:
            worker.finish(instance, fails=kind == "fail")
        elif kind == "exit" and state.is_up:
            worker.vms[instance] = lifecycle.exited(state, "exit code 0", now=worker.now)
        elif kind in ("pass", "failing") and state.is_up:
            worker.judge(instance, healthy=kind == "pass")
        elif kind == "restart" and state.is_up:
            worker.vms[instance] = replace(state, restart_wanted=True)
        worker.look()
    worker.now += 400.0
    worker.settle(rounds=30)
    worker.now += 400.0
    worker.settle(rounds=30)
    assert set(worker.vms) == set(worker.desired)
    for instance, state in worker.vms.items():
        assert state.phase is VmPhase.HEALTHY
        assert state.content == target_of(worker.desired[instance], state)


def _assign(worker: SimulatedWorker, instance: str, choice: int, number: int) -> None:
    if choice == 15:
        worker.desired.pop(instance, None)
        return
    fallback = CONTENTS[choice // 4] if choice % 3 else None
    worker.desired[instance] = a_desired(
        instance, content=CONTENTS[choice % 4], fallback=fallback, number=2 + number + (choice == 14)
    )
