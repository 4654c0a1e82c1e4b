"""What an operator, CI, bad contents and restarts do in any order never breaks a safety sentence (a state machine)."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck as Check
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from control_plane.assign import outlines
from control_plane.events import StateEvent
from control_plane.holds import decide_hold, decide_lift
from control_plane.observations import Followed
from control_plane.rollout.changes import RolloutMoved
from control_plane.rollout.clocks import tick
from control_plane.rollout.commands import decide_abort, decide_pause, decide_promote, decide_resume
from control_plane.rollout.pins import homes, pinned_goal
from control_plane.rollout.table import Signal
from control_plane.rollout.waves import waits_for_approval
from control_plane.state import Rollout, Snapshot
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, assignment_for, some_facts
from control_plane.tests.world import World
from schema.assignment import Assignment
from schema.blueprint import CheckType, Gate, Health, HealthCheck, RolloutPolicy, UpdatePolicy, Wave
from schema.errors import Conflict, NotFound
from schema.status import Convergence, RolloutState
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=3_000)
REFUSED = (Conflict, NotFound)

specs = st.lists(
    st.builds(
        lambda name, content, replicas, stays: a_spec(
            name,
            content,
            replicas=replicas,
            health=CHECKED,
            labels={"env": "ab"[replicas % 2]},
            update=UpdatePolicy(auto_rollback=not stays),
        ),
        st.sampled_from(("web", "db", "app")),
        st.sampled_from(("1", "2", "bad")),
        st.integers(1, 3),
        st.integers(0, 9).map(lambda drawn: drawn == 0),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda spec: spec.name,
)
policies = st.builds(
    RolloutPolicy,
    waves=st.sampled_from(
        (
            (),
            (Wave(percent=30), Wave(percent=100, delay_ms=1000)),
            (Wave(selector={"env": "a"}), Wave(percent=50, gate=Gate.APPROVE)),
        )
    ),
    min_healthy_ms=st.just(500),
    max_failures=st.integers(0, 2),
    max_parallel=st.integers(1, 3),
    jitter_ms=st.sampled_from((0, 800)),
)


class Checked(World):
    """Looks at each event as it is applied."""

    def change(self, event: StateEvent) -> None:
        before = self.snapshot
        super().change(event)
        if isinstance(event, RolloutMoved):
            self.check_outcome(before, self.snapshot, event)
        elif before.last_good is not self.snapshot.last_good:
            raise AssertionError(f"last good was changed by {event}")

    def check_outcome(self, before: Snapshot, after: Snapshot, event: RolloutMoved) -> None:
        rollout = before.rollouts[event.generation]
        if event.signal is Signal.COMPLETED:
            for name, kind in rollout.kinds.items():
                if kind.is_gated and name not in rollout.failed:
                    assert before.wanted(name) == event.generation
                    assert self.is_well(name, before)
            assert all(after.last_good.get(name) != event.generation for name in rollout.failed)
            return
        assert before.last_good is after.last_good
        if event.signal is Signal.RESTORED:
            assert dict(homes(before)) == self.wanted()
            assert all(self.is_well(name, before) for name in homes(before) if rollout.kinds.get(name) != "same")

    def is_well(self, name: str, snapshot: Snapshot) -> bool:
        spec = snapshot.wanted_spec(name)
        vms = [worker.vms[name] for worker in self.workers.values() if name in worker.vms]
        return spec is not None and [vm.content_hash for vm in vms] == [spec.content_hash]


class Operators(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = Checked(a_snapshot(w0=some_facts(32, 16384), w1=some_facts(32, 16384)))
        self.world.bad = {a_spec(name, "bad").content_hash for name in ("web", "db", "app")}
        self.number = 0
        self.told: dict[tuple[str, int], Assignment] = {}

    def attempt(self, decide: Any, *args: Any, **fields: Any) -> None:
        """An operator's change, or its refusal."""
        try:
            events = decide(self.world.snapshot, *args, **fields)
        except REFUSED:
            return
        for event in events:
            self.world.change(event)

    @property
    def rollout(self) -> Rollout:
        rollout = self.world.snapshot.rollout
        assert rollout is not None
        return rollout

    @rule(specs=specs, policy=policies)
    def publish(self, specs: list[VmSpec], policy: RolloutPolicy) -> None:
        self.number += 1
        self.world.publish(a_generation(self.number, *specs, rollout=policy))

    @rule(looks=st.integers(1, 12))
    def time_passes(self, looks: int) -> None:
        for _ in range(looks):
            self.world.look()

    @rule()
    def one_step(self) -> None:
        self.world.look_once()

    @rule()
    def the_control_plane_restarts(self) -> None:
        self.world.restart()

    @rule(worker=st.sampled_from(("w0", "w1")), deaf=st.booleans())
    def a_worker_stops_listening(self, worker: str, deaf: bool) -> None:
        self.world.workers[worker].deaf = deaf

    @rule()
    def the_bad_content_is_mended_or_breaks(self) -> None:
        self.world.bad = (
            set() if self.world.bad else {a_spec(name, "bad").content_hash for name in ("web", "db", "app")}
        )

    @precondition(lambda self: self.number)
    @rule()
    def pause(self) -> None:
        self.attempt(decide_pause, self.number, actor="uid:0", reason="", wall_ms=self.world.now_ms)

    @precondition(lambda self: self.number)
    @rule()
    def resume(self) -> None:
        self.attempt(decide_resume, self.number, wall_ms=self.world.now_ms)

    @precondition(lambda self: self.number)
    @rule()
    def promote(self) -> None:
        self.attempt(decide_promote, self.number, actor="uid:0")

    @precondition(lambda self: self.number)
    @rule()
    def abort(self) -> None:
        self.attempt(decide_abort, self.number, actor="uid:0", reason="", wall_ms=self.world.now_ms)

    @precondition(lambda self: self.number > 1)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        generation = data.draw(st.integers(1, self.number - 1))
        kept = self.world.snapshot.generations.get(generation)
        known = sorted(kept.vms) if kept else ["web"]
        vms = data.draw(st.lists(st.sampled_from(known), unique=True, max_size=2)) if known else []
        fields = {"reason": "", "actor": "uid:0", "wall_ms": self.world.now_ms}
        self.attempt(decide_hold, vms=tuple(vms), generation=generation, **fields)

    @precondition(lambda self: self.world.snapshot.holds)
    @rule()
    def lift(self) -> None:
        self.attempt(decide_lift, min(self.world.snapshot.holds), wall_ms=self.world.now_ms)

    @invariant()
    def nothing_runs_or_is_assigned_twice(self) -> None:
        running = [instance for worker in self.world.workers.values() for instance in worker.vms]
        assert len(running) == len(set(running))
        entries = [line.instance for outline in outlines(self.world.snapshot).values() for line in outline.lines]
        assert len(entries) == len(set(entries))

    @invariant()
    def one_revision_always_says_the_same(self) -> None:
        for worker_id, worker in self.world.snapshot.workers.items():
            now = assignment_for(self.world.snapshot, worker_id)
            assert self.told.setdefault((worker_id, worker.revision), now) == now

    @invariant()
    def every_generation_that_something_refers_to_is_kept(self) -> None:
        snapshot = self.world.snapshot
        holds = {hold.generation for hold in snapshot.holds.values()}
        assert holds | set(snapshot.last_good.values()) | set(self.world.wanted().values()) <= set(snapshot.generations)

    @invariant()
    def a_vm_is_in_one_hold_at_most(self) -> None:
        held = [vm for hold in self.world.snapshot.holds.values() for vm in hold.vms]
        assert len(held) == len(set(held))

    @invariant()
    def clocks_that_were_left_alone_would_not_have_changed(self) -> None:
        world = self.world
        moment = {"now_ms": world.now_ms, "lost_after_ms": 40_000}
        followed = tick(world.snapshot, world.observations, **moment)
        everything = tick(world.snapshot, replace(world.observations, followed=Followed()), **moment)
        assert followed.clocks == {name: everything.clocks[name] for name in world.snapshot.placements}

    @invariant()
    def the_words_are_honest(self) -> None:
        status = self.world.status()
        if not self.number or status.convergence is not Convergence.CONVERGED:
            return
        assert self.rollout.state is RolloutState.SUCCEEDED
        assert not self.world.snapshot.holds
        assert {vm.generation for vm in status.vms} <= {self.number}
        assert all(vm.healthy for vm in status.vms)

    def teardown(self) -> None:
        """Left alone, with every wave approved, it comes to rest, and held VMs are where they belong."""
        if not self.number:
            return
        for worker in self.world.workers.values():
            worker.deaf = False
        for _ in range(400):
            before = self.world.snapshot
            self.world.look()
            if waits_for_approval(self.rollout) is not None:
                self.attempt(decide_promote, self.number, actor="uid:0")
            rests = self.rollout.state.is_outcome or self.rollout.state is RolloutState.PAUSED
            settled = all(self.world.snapshot.wanted(name) == one for name, one in pinned_goal(before).items())
            if rests and settled and self.world.snapshot is before:
                return
        raise AssertionError(f"it comes to no rest: {self.rollout} {self.world.status().reason}")


TestOperators = Operators.TestCase
TestOperators.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[Check.too_slow, Check.data_too_large, Check.filter_too_much],
)
