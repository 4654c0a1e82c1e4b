"""A cluster in memory for tests: the real core, and workers that do as their assignment says on a clock of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field

from control_plane.convergence import Moment, cluster_status
from control_plane.events import GenerationPublished, StateEvent, apply
from control_plane.observations import Observations
from control_plane.plan import Limits, Plan, plan
from control_plane.rollout.clocks import take_report, tick
from control_plane.state import Generation, Snapshot
from control_plane.tests.builders import a_snapshot, assignment_for
from schema.assignment import Assignment, Entry
from schema.status import ClusterStatus, Reverted, RolloutState, RunningVm, VmPhase, WorkerReport

LIMITS = Limits(lost_after_ms=40_000)


@dataclass
class FakeVm:
    generation: int
    content_hash: str
    spec_hash: str
    booted_ms: int
    phase: VmPhase = VmPhase.BOOTING
    reverted: Reverted | None = None
    boots: int = 1


@dataclass
class FakeWorker:
    """Does as a worker does: leaves equal content alone, boots the rest, goes back to the fallback at the deadline."""

    worker_id: str
    is_bad: Callable[[str], bool]
    boot_ms: int = 500
    pull_ms: int = 0
    pulled: dict[str, int] = field(default_factory=dict)
    vms: dict[str, FakeVm] = field(default_factory=dict)
    obeyed: Assignment | None = None
    silent: bool = False
    deaf: bool = False
    """Reports, and goes on with the assignment that it has."""
    slow: bool = False
    """What it is to stop takes its time."""
    started: list[tuple[str, str]] = field(default_factory=list)

    def obey(self, assignment: Assignment, now_ms: int) -> None:
        news = self.obeyed is None or assignment.revision != self.obeyed.revision
        self.obeyed = assignment
        wanted = {entry.instance: entry for entry in assignment.entries}
        for instance in set(self.vms) - set(wanted):
            self.vms[instance].phase = VmPhase.STOPPING
            if not self.slow:
                del self.vms[instance]
        for instance, entry in wanted.items():
            self._bring(instance, entry, now_ms, news=news)

    def _bring(self, instance: str, entry: Entry, now_ms: int, *, news: bool) -> None:
        spec = entry.sealed_spec()
        vm = self.vms.get(instance)
        if vm and vm.reverted and news:
            vm.reverted = None
        if vm and vm.content_hash == spec.value.content_hash:
            vm.generation, vm.spec_hash = entry.generation, spec.sha256
        elif now_ms - self.pulled.setdefault(spec.value.content_hash, now_ms) < self.pull_ms:
            if vm is None:
                content, sha256 = spec.value.content_hash, spec.sha256
                self.vms[instance] = FakeVm(entry.generation, content, sha256, 10**12, VmPhase.PULLING)
            return
        elif vm is None or vm.reverted is None:
            vm = self._boot(instance, entry.generation, spec.value.content_hash, spec.sha256, now_ms)
        if vm.booted_ms == 10**12:
            if now_ms - self.pulled[vm.content_hash] < self.pull_ms:
                return
            vm = self._boot(instance, entry.generation, vm.content_hash, vm.spec_hash, now_ms)
        self._live(instance, vm, entry, now_ms)

    def _boot(self, instance: str, generation: int, content: str, sha256: str, now_ms: int) -> FakeVm:
        self.vms[instance] = FakeVm(generation, content, sha256, now_ms)
        self.started.append((instance, content))
        return self.vms[instance]

    def _live(self, instance: str, vm: FakeVm, entry: Entry, now_ms: int) -> None:
        if not self.is_bad(vm.content_hash):
            vm.phase = VmPhase.HEALTHY if now_ms - vm.booted_ms >= self.boot_ms else VmPhase.BOOTING
            return
        spec, fallback = entry.sealed_spec().value, entry.sealed_fallback()
        vm.phase = VmPhase.RUNNING if now_ms - vm.booted_ms < spec.health.start_deadline_ms else VmPhase.FAILED
        if vm.phase is VmPhase.FAILED and entry.fallback and fallback:
            back = self._boot(instance, entry.fallback.generation, fallback.value.content_hash, fallback.sha256, now_ms)
            back.reverted = Reverted(content_hash=vm.content_hash, reason="tcp check on port 80: refused")

    def report(self) -> WorkerReport:
        obeyed = self.obeyed
        return WorkerReport(
            worker_id=self.worker_id,
            epoch=obeyed.epoch if obeyed else "",
            revision=obeyed.revision if obeyed else 0,
            running_vms=tuple(
                RunningVm(
                    instance=instance,
                    generation=vm.generation,
                    content_hash=vm.content_hash,
                    spec_hash=vm.spec_hash,
                    phase=vm.phase,
                    reason="tcp check on port 80: refused" if self.is_bad(vm.content_hash) else "",
                    reverted=vm.reverted,
                )
                for instance, vm in sorted(self.vms.items())
            ),
        )


class World:
    """`pace` is how many milliseconds pass between two looks."""

    def __init__(self, snapshot: Snapshot | None = None, *, pace_ms: int = 500) -> None:
        self.snapshot = snapshot or a_snapshot()
        self.observations = Observations()
        self.now_ms = 0
        self.pace_ms = pace_ms
        self.bad: set[str] = set()
        self.workers = {name: FakeWorker(name, self.is_bad) for name in self.snapshot.workers}
        self.history: list[StateEvent] = []
        self.commit: Callable[[Snapshot, Snapshot], Snapshot] = lambda _before, after: after

    def is_bad(self, content_hash: str) -> bool:
        return content_hash in self.bad

    def change(self, event: StateEvent) -> None:
        self.history.append(event)
        self.snapshot = self.commit(self.snapshot, apply(self.snapshot, event))

    def publish(self, generation: Generation) -> None:
        self.change(GenerationPublished(generation))

    def report(self) -> None:
        for worker in self.workers.values():
            if worker.silent:
                continue
            told = assignment_for(self.snapshot, worker.worker_id)
            worker.obey(worker.obeyed if worker.deaf and worker.obeyed else told, self.now_ms)
            self.observations = take_report(
                self.snapshot, self.observations, worker.report(), now_ms=self.now_ms, lost_after_ms=40_000
            )

    def decide(self) -> bool:
        """One transaction of the reconciler; False when there was nothing to do."""
        self.observations = tick(self.snapshot, self.observations, now_ms=self.now_ms, lost_after_ms=40_000)
        found = self.plan()
        for event in found.events:
            self.change(event)
        return bool(found.events)

    def plan(self) -> Plan:
        return plan(self.snapshot, self.observations, now_ms=self.now_ms, wall_ms=self.now_ms, limits=LIMITS)

    def look(self) -> None:
        """Reports come, then decisions until none is left, then time passes."""
        self.report()
        for _ in range(50):
            if not self.decide():
                break
        else:
            raise AssertionError("the reconciler does not come to rest")
        self.now_ms += self.pace_ms

    def look_once(self) -> None:
        """Reports come, one decision is made at most, and a little time passes."""
        self.report()
        self.decide()
        self.now_ms += self.pace_ms

    def run(self, *, most: int = 4000) -> RolloutState:
        """Look until the newest rollout is over or paused."""
        for _ in range(most):
            self.look()
            rollout = self.snapshot.rollout
            if rollout and (rollout.state.is_outcome or rollout.state is RolloutState.PAUSED):
                return rollout.state
        raise AssertionError(f"the rollout does not end: {self.snapshot.rollout} {self.status().reason}")

    def restart(self) -> None:
        """The control plane forgets what it only observed."""
        self.observations = Observations(started_ms=self.now_ms)

    def status(self) -> ClusterStatus:
        moment = Moment(now_ms=self.now_ms, wall_ms=self.now_ms)
        return cluster_status(self.snapshot, self.observations, moment)

    @property
    def started(self) -> list[tuple[str, str]]:
        return [start for worker in self.workers.values() for start in worker.started]

    def wanted(self) -> dict[str, int]:
        return {instance: one.generation for instance, one in self.snapshot.placements.items() if one.generation}
