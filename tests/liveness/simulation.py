"""A control plane and workers as they are decided by the real pure cores, on made-up clocks, machines and messages.

Everything that is not a decision is made up here: machines with clocks that run apart, processes that are killed,
stopped and started again, machines that are suspended or lose power, messages that are late or lost, commits that take
their time or are cut off. What a shim does stands in `Machine.shims_look`.
"""

from dataclasses import dataclass, field
from random import Random

from control_plane.events import GenerationPublished, StateEvent, apply
from control_plane.liveness.leases import lease_change
from control_plane.liveness.watch import LivenessWatch
from control_plane.observations import Observations
from control_plane.plan import Limits, plan
from control_plane.rollout.clocks import take_report, tick
from control_plane.state import Generation, Snapshot
from control_plane.tests.builders import assignment_for
from schema.assignment import Assignment, Seen
from schema.status import PushReply, WorkerMetrics, WorkerReport
from worker import lifecycle
from worker.lease import NS_PER_MS, Lease, renewed
from worker.report import worker_report
from worker.tests.test_reconcile import SimulatedWorker
from worker.vm_state import Step, VmState, desired_of

TICK_MS = 1000
SHIM_LATE_MS = 5000
"""How late a shim may be that has a busy machine."""
DRIFT = 0.04
"""How much faster or slower than real time a clock goes. A margin must cover both."""
POLL_MS = 35_000
"""After this a worker that has no answer asks for its assignment again."""
PUSH_TIMEOUT_MS = 20_000


@dataclass
class Clock:
    """CLOCK_BOOTTIME of one machine: `rate` seconds in a real second."""

    rate: float = 1.0
    booted_at_ms: int = 0

    def ms(self, real_ms: int) -> int:
        return int((real_ms - self.booted_at_ms) * self.rate)


@dataclass
class Network:
    """Messages between the workers and the control plane, by when they arrive."""

    random: Random
    latest_ms: int = 2000
    loss: float = 0.0
    cut: set[str] = field(default_factory=set)

    def arrives(self, worker_id: str, now_ms: int) -> int | None:
        """When a message that is sent now is there; None when it is lost."""
        if worker_id in self.cut or self.random.random() < self.loss:
            return None
        return now_ms + self.random.randint(0, self.latest_ms)

    def worsen(self, *, latest_ms: int | None = None, loss: float | None = None) -> None:
        """Or better."""
        self.latest_ms = self.latest_ms if latest_ms is None else latest_ms
        self.loss = self.loss if loss is None else loss


class ControlPlane:
    """The service without sockets: what it remembers, what is on disk, and a commit under way."""

    def __init__(self, snapshot: Snapshot, limits: Limits, random: Random) -> None:
        self.disk = snapshot
        self.limits = limits
        self.random = random
        self.clock = Clock(rate=1 + random.uniform(-DRIFT, DRIFT))
        self.alive = self.running = True
        self.commit: tuple[Snapshot, int] | None = None
        self.start(0)

    @property
    def snapshot(self) -> Snapshot:
        return self.disk

    def start(self, now_ms: int) -> None:
        self.alive = self.running = True
        here = self.clock.ms(now_ms)
        self.observations = Observations(started_ms=here)
        self.watch = LivenessWatch(timing=self.limits, now_ms=here)
        self.write(lease_change(self.disk, self.observations, now_ms=here, timing=self.limits))

    def kill(self) -> None:
        """In the middle of a commit, it is there or it is not."""
        self.alive = False
        if self.commit and self.random.random() < 0.5:
            self.disk = self.commit[0]
        self.commit = None

    def write(self, events: tuple[StateEvent, ...]) -> None:
        for event in events:
            self.disk = apply(self.disk, event)

    def look(self, now_ms: int) -> None:
        here = self.clock.ms(now_ms)
        if self.commit:
            after, done_ms = self.commit
            if now_ms < done_ms:
                return
            self.disk, self.commit = after, None
            self.watch.gave_up()
        self.observations = self.watch.after_pause(self.observations, now_ms=here)
        lost_after_ms = self.limits.lost_after_ms
        self.observations = tick(self.disk, self.observations, now_ms=here, lost_after_ms=lost_after_ms)
        self.watch.news(self.disk, self.observations, now_ms=here, wall_ms=now_ms)
        found = plan(self.disk, self.observations, now_ms=here, wall_ms=now_ms, limits=self.limits)
        events = self.watch.giving_up(found.events)
        if events:
            after = self.disk
            for event in events:
                after = apply(after, event)
            self.commit = (after, now_ms + self.random.choice((0, 0, TICK_MS, 12 * TICK_MS)))

    def report(self, report: WorkerReport, now_ms: int) -> PushReply:
        """As `ControlPlane.report` of the service."""
        here, worker_id = self.clock.ms(now_ms), report.worker_id
        self.observations = self.watch.after_pause(self.observations, now_ms=here)
        if self.observations.silent_ms(worker_id, now_ms=here) > self.limits.lost_after_ms:
            self.observations = self.watch.back(self.observations, worker_id, now_ms=here)
        lost_after_ms = self.limits.lost_after_ms
        self.observations = take_report(self.disk, self.observations, report, now_ms=here, lost_after_ms=lost_after_ms)
        return self.watch.answer(self.disk, report, wall_ms=now_ms)


@dataclass
class Machine:
    """A worker's machine: its agent, its processes, and what is on its disk."""

    worker_id: str
    random: Random
    clock: Clock
    agent: SimulatedWorker = field(default_factory=SimulatedWorker)
    alive: bool = True
    running: bool = True
    suspended: bool = False
    processes: dict[str, bool] = field(default_factory=dict)
    lapsed_since: dict[str, int] = field(default_factory=dict)
    lease_file: Lease = field(default_factory=Lease)
    lease: Lease = field(default_factory=Lease)
    seen: Seen | None = None
    pushed_ms: int = -(10**9)
    waits_for: int = 0
    """The push that is in flight, by number; 0: none."""
    pushes: int = 0
    shims_late_ms: int = 0

    def ns(self, now_ms: int) -> int:
        return self.clock.ms(now_ms) * NS_PER_MS

    @property
    def is_acting(self) -> bool:
        return self.alive and self.running and not self.suspended

    def shims_look(self, now_ms: int, *, resumed: bool = False) -> None:
        """What shim and guard do: end what is fenced once the lease in the file is over, if a little late."""
        if self.suspended:
            return
        for instance, fenced in list(self.processes.items()):
            if not fenced or self.lease_file.left_seconds(self.ns(now_ms)) > 0:
                self.lapsed_since.pop(instance, None)
                continue
            since = self.lapsed_since.setdefault(instance, now_ms)
            if resumed or now_ms - since >= self.shims_late_ms:
                del self.processes[instance]

    def act(self, now_ms: int) -> None:
        """See who ended, decide, and let steps come to their end; those that are quick do so at once."""
        self.agent.now = now_ms / 1000
        for instance, state in list(self.agent.vms.items()):
            if state.process is not None and instance not in self.processes and state.is_up:
                self.agent.vms[instance] = lifecycle.exited(state, "it ended", now=self.agent.now)
        self.agent.leased_until = self.agent.now + self.lease.left_seconds(self.ns(now_ms))
        for _ in range(3):
            self.agent.look()
            for instance, state in list(self.agent.vms.items()):
                if state.step is not None:
                    self._step(instance, state, now_ms)
                elif state.is_up:
                    self.agent.judge(instance, healthy=True)

    def _step(self, instance: str, state: VmState, now_ms: int) -> None:
        took = {Step.BOOT: 4 * TICK_MS, Step.STOP: 2 * TICK_MS}.get(state.step or Step.PULL, 0)
        begun = round(state.step_since * 1000)
        if now_ms - begun < self.random.randint(0, took):
            return
        if state.step is Step.STOP:
            self.processes.pop(instance, None)
            self.agent.finish(instance)
            return
        if state.step is Step.BOOT:
            assert state.content and instance not in self.processes
            fenced = state.content.spec.is_fenced
            if fenced and self.lease_file.left_seconds(self.ns(now_ms)) <= 0:
                self.agent.finish(instance, fails=True)
                return
            self.processes[instance] = fenced
        self.agent.finish(instance)

    def report(self) -> WorkerReport:
        return worker_report(
            self.worker_id,
            seen=self.seen,
            desired=self.agent.desired,
            vms=self.agent.vms,
            volumes={},
            metrics=WorkerMetrics(),
            now=self.agent.now,
        )

    def obey(self, assignment: Assignment) -> None:
        if self.seen is None or assignment.revision > self.seen.revision:
            self.seen = Seen(assignment.epoch, assignment.revision)
            self.agent.desired = desired_of(assignment)

    def take_reply(self, push: int, sent_ns: int, reply: PushReply, now_ms: int) -> None:
        if push != self.waits_for:
            return
        self.waits_for = 0
        fresh = renewed(self.lease, sent_ns=sent_ns, lease_ms=reply.lease_ms, now_ns=self.ns(now_ms))
        self.lease = self.lease_file = fresh

    def resume(self, now_ms: int) -> None:
        """All go on at once; what the VMs do until their shims have looked is no time that we could count."""
        self.suspended = False
        self.shims_look(now_ms, resumed=True)

    def kill(self) -> None:
        self.alive = False

    def start(self) -> None:
        """The agent anew: it finds its processes, the kept assignment and the lease in the file."""
        self.alive = self.running = True
        self.waits_for, self.pushed_ms, self.lease = 0, -(10**9), self.lease_file
        for instance, state in list(self.agent.vms.items()):
            if instance not in self.processes and state.process is not None:
                del self.agent.vms[instance]
        # What was being booted or ended when the agent died is cleared away at its start.
        for instance in set(self.processes):
            known = self.agent.vms.get(instance)
            if known is None or not known.is_up:
                del self.processes[instance]
        self.agent.die_and_start_again()

    def power_cut(self, now_ms: int) -> None:
        self.processes.clear()
        self.lease_file = Lease()
        self.clock.booted_at_ms = now_ms
        self.agent.vms = {}
        self.suspended = False
        self.start()


class Simulation:
    """`now_ms` is real time. `history` is what was done to the world."""

    def __init__(self, snapshot: Snapshot, limits: Limits, *, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - a schedule that can be played again, no secret
        self.now_ms = 0
        self.network = Network(self.random)
        self.control_plane = ControlPlane(snapshot, limits, self.random)
        shims_late_ms = self.random.choice((0, SHIM_LATE_MS))
        self.machines = {
            name: Machine(
                name,
                self.random,
                Clock(rate=1 + self.random.uniform(-DRIFT, DRIFT)),
                shims_late_ms=shims_late_ms,
            )
            for name in snapshot.workers
        }
        self.to_control_plane: list[tuple[int, str, int, int, WorkerReport]] = []
        self.replies: list[tuple[int, str, int, int, PushReply]] = []
        self.assignments: list[tuple[int, str, Assignment]] = []
        self.asked_ms: dict[str, int] = {}

    def publish(self, generation: Generation) -> None:
        self.control_plane.write((GenerationPublished(generation),))

    def step(self) -> None:
        """One tick of real time."""
        self.now_ms += TICK_MS
        for machine in self.machines.values():
            machine.shims_look(self.now_ms)
        self._deliver()
        for machine in self.machines.values():
            if machine.is_acting:
                machine.act(self.now_ms)
                self._push(machine)
                self._fetch(machine)
        if self.control_plane.alive and self.control_plane.running:
            self.control_plane.look(self.now_ms)

    def run(self, seconds: int) -> None:
        for _ in range(seconds * 1000 // TICK_MS):
            self.step()
            self.check()

    def check(self) -> None:
        """No single VM runs twice: not a fenced one, and not one that keeps a volume."""
        for instance in ("solo-0", "cache-0", "db-0"):
            where = self.running_on(instance)
            assert len(where) <= 1, f"{instance} runs on {where} at {self.now_ms}"

    def running_on(self, instance: str) -> list[str]:
        """The machines on which it executes: not while they are suspended."""
        return [
            name for name, machine in self.machines.items() if instance in machine.processes and not machine.suspended
        ]

    def _push(self, machine: Machine) -> None:
        since_ms = self.now_ms - machine.pushed_ms
        if machine.waits_for and since_ms < PUSH_TIMEOUT_MS:
            return
        if since_ms < self.random.choice((TICK_MS, 10_000, 10_000)):
            return
        machine.pushes += 1
        machine.pushed_ms, machine.waits_for = self.now_ms, machine.pushes
        arrives = self.network.arrives(machine.worker_id, self.now_ms)
        if arrives is not None:
            sent = (arrives, machine.worker_id, machine.pushes, machine.ns(self.now_ms), machine.report())
            self.to_control_plane.append(sent)

    def _fetch(self, machine: Machine) -> None:
        """The long poll: one at a time; what is lost on the way is asked for again after a while."""
        control_plane = self.control_plane
        if not (control_plane.alive and control_plane.running):
            return
        asked_ms = self.asked_ms.get(machine.worker_id)
        if asked_ms is not None and self.now_ms - asked_ms < POLL_MS:
            return
        assignment = assignment_for(control_plane.snapshot, machine.worker_id)
        if machine.seen == Seen(assignment.epoch, assignment.revision):
            return
        self.asked_ms[machine.worker_id] = self.now_ms
        arrives = self.network.arrives(machine.worker_id, self.now_ms)
        if arrives is not None:
            self.assignments.append((arrives, machine.worker_id, assignment))

    def _deliver(self) -> None:
        """What has arrived and finds its receiver running; what finds it dead is lost, what finds it stopped waits."""
        control_plane, late = self.control_plane, []
        for message in self.to_control_plane:
            at, worker_id, push, sent_ns, report = message
            if at > self.now_ms or (control_plane.alive and not control_plane.running):
                late.append(message)
            elif control_plane.alive:
                reply = control_plane.report(report, self.now_ms)
                arrives = self.network.arrives(worker_id, self.now_ms)
                if arrives is not None:
                    self.replies.append((arrives, worker_id, push, sent_ns, reply))
        self.to_control_plane = late
        waiting = []
        for answer in self.replies:
            at, worker_id, push, sent_ns, reply = answer
            machine = self.machines[worker_id]
            if at > self.now_ms or (machine.alive and not machine.is_acting):
                waiting.append(answer)
            elif machine.alive:
                machine.take_reply(push, sent_ns, reply, self.now_ms)
        self.replies = waiting
        unread = []
        for offer in self.assignments:
            at, worker_id, assignment = offer
            machine = self.machines[worker_id]
            if at > self.now_ms or (machine.alive and not machine.is_acting):
                unread.append(offer)
            elif machine.alive:
                self.asked_ms.pop(worker_id, None)
                machine.obey(assignment)
        self.assignments = unread
