"""The worker's loop: look at everything, decide by `worker.reconcile`, have the steps done, take in what happened.

It knows VMs and steps only as values and as the port `Steps`; the control plane is the agent's.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import assert_never

import trio

from schema.assignment import Peer
from schema.errors import NotFound, ProcuratorError, Unavailable
from schema.names import printable
from schema.status import PullProgress, VmPhase
from schema.vmspec import VmSpec
from worker import adoption, lifecycle
from worker.backoff import pause_after
from worker.drain import Drain, accepted, why_not
from worker.health import CheckResult, Verdict, after_round, guest_checks, host_checks, next_round_ms, verdict
from worker.lease import Lease, is_worth_keeping, renewed
from worker.reconcile import Action, Begin, Cancel, Fence, Forget, Limits, Stop, reconcile
from worker.records import Records
from worker.steps import Steps
from worker.switching import CannotSwitch
from worker.vm_state import Attachment, Desired, Process, Step, StopFor, VmState

Answers = tuple[CheckResult, ...]
Ask = Callable[..., Awaitable[Answers]]
"""`worker.probe.ask`."""
InThread = Callable[[Callable[[], None]], Awaitable[None]]
"""Has something done that blocks, beside the loop: `trio.to_thread.run_sync`."""

FIRST_VERDICTS_SECONDS = 1.0
SYSTEM_SECONDS = 5.0
"""How often a guest that was switched in place is asked which System it runs."""
PROGRESS_SECONDS = 1.0
"""How often a pull's progress is told: each time is a report."""

log = logging.getLogger(__name__)


class Supervisor:
    """All VMs of this worker. `run` is its task; the rest may be called from other tasks at any time.

    `min_healthy_ms`: how long a VM without checks has to run to count as healthy. `boottime_ns` reads CLOCK_BOOTTIME.
    What `in_thread` does waits for the disk.
    """

    def __init__(
        self,
        *,
        steps: Steps,
        records: Records,
        limits: Limits,
        min_healthy_ms: int,
        ask: Ask,
        boottime_ns: Callable[[], int],
        in_thread: InThread,
    ) -> None:
        self._in_thread = in_thread
        self._steps = steps
        self._records = records
        self.limits = limits
        self._min_healthy_ms = min_healthy_ms
        self._ask = ask
        self._boottime_ns = boottime_ns
        self.lease = Lease()
        self._fencing: set[str] = set()
        self._is_full = False
        self._scopes: dict[str, trio.CancelScope] = {}
        self._told_pulls: dict[str, float] = {}
        self._wake = trio.Event()
        self._news = trio.Event()
        self._assigned: tuple[Mapping[str, Desired], tuple[Peer, ...]] | None = None
        self._unapplied = False
        self._drains: dict[bool, Drain] = {}
        self.vms: dict[str, VmState] = {}

    @property
    def desired(self) -> Mapping[str, Desired]:
        """What is assigned; nothing before the first assignment."""
        return self._assigned[0] if self._assigned else {}

    def assign(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        """Run this from now on. Until the first call nothing is started or stopped."""
        self._assigned = (desired, tuple(peers))
        self._unapplied = True
        self._changed()

    def renew(self, *, sent_ns: int, lease_ms: int) -> None:
        """Take in the answer to a report that was begun at `sent_ns`; the shims learn of it before we count on it."""
        now_ns = self._boottime_ns()
        fresh = renewed(self.lease, sent_ns=sent_ns, lease_ms=lease_ms, now_ns=now_ns)
        if fresh == self.lease or not is_worth_keeping(fresh, over=self.lease, lease_ms=lease_ms):
            return
        was_over = self.lease.left_seconds(now_ns) <= 0
        self.lease = min(self.lease, fresh)
        try:
            self._records.keep_lease(fresh.deadline_ns)
        except OSError as error:
            log.warning("the lease cannot be written, so it is not renewed: %s", error)
            return
        self.lease = fresh
        if was_over or lease_ms <= 0:
            self._wake.set()

    def drain(self, *, reason: str, seconds: float) -> None:
        """Take nothing new, until the agent starts again; after `seconds` (inf: never) end what is left."""
        until = trio.current_time() + seconds
        self._drains[False] = Drain(reason, frozenset(self.vms), until)
        log.info("draining: nothing new is taken%s", "" if math.isinf(seconds) else f", all ends in {seconds:g} s")
        self._changed()

    def follow_drain(self, *, ordered: bool) -> None:
        """Take nothing new for as long as the control plane says so; what leaves, and when, is in its assignments."""
        if ordered != (True in self._drains):
            log.info("the control plane %s", "drains this worker" if ordered else "gives this worker VMs again")
            if ordered:
                self._drains[True] = Drain("by the control plane", frozenset(self.vms))
            else:
                del self._drains[True]
            self._changed()

    def shown(self) -> Mapping[str, VmState]:
        """All VMs for a report: also those that are assigned and not accepted, with the reason."""
        now = trio.current_time()
        refused = {
            name: VmState(name, phase_since=now, reason=why_not(name, self._drains.values(), now=now))
            for name in self.desired
            if name not in self.vms
        }
        return {**self.vms, **refused}

    def news(self) -> trio.Event:
        """Set when there is something new to report since this call."""
        return self._news

    def restart(self, instance: str) -> None:
        """Stop and boot an instance; one that waits for its next try is tried now. Raises NotFound."""
        state = self.vms.get(instance)
        if state is None:
            raise NotFound(f"this worker has no {instance}")
        self._set(replace(state, restart_wanted=True) if state.is_up else replace(state, retry_at=0.0))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Adopt what runs, then keep what runs equal to what is assigned, until cancelled: the VMs go on."""
        self.lease = Lease(self._records.kept_lease())
        async with trio.open_nursery() as nursery:
            await self._adopt(nursery)
            await self._first_verdicts()
            task_status.started()
            while True:
                self._wake = trio.Event()
                wake_at = await self._look(nursery)
                with trio.move_on_at(wake_at):
                    await self._wake.wait()

    async def _adopt(self, nursery: trio.Nursery) -> None:
        began, living = trio.current_time(), 0
        for decision in adoption.decide(await self._steps.found()):
            match decision:
                case adoption.Adopt(instance, content):
                    process = await self._steps.adopt(decision)
                    fresh = VmState(instance, memory=self._records.memories.of(instance))
                    self._set(lifecycle.adopted(fresh, content, process, now=trio.current_time()))
                    nursery.start_soon(self._attend, instance, process)
                    living += 1
                    log.info("adopted %s", instance, extra={"pid": process.pid})
                case adoption.Clear(instance, reason):
                    log.info("cleared %s: %s", instance, reason)
                    await self._stop_at_last(instance, None, for_good=False)
                    self._records.forget_booted(instance)
                case _:
                    assert_never(decision)
        log.info("adopted %d VMs in %.3f s", living, trio.current_time() - began)

    async def _first_verdicts(self) -> None:
        """An adopted VM that is well is told as healthy from the first report on: give its checks a moment."""
        with trio.move_on_after(FIRST_VERDICTS_SECONDS):
            while any(vm.phase is VmPhase.RUNNING for vm in self.vms.values()):
                await self._news.wait()

    async def _look(self, nursery: trio.Nursery) -> float:
        """Carry out what is to be done now; when to look again at the latest."""
        if self._assigned is None:
            return math.inf
        if self._unapplied and not await self._apply(*self._assigned):
            return trio.current_time() + 1.0
        now = trio.current_time()
        desired = accepted(self.desired, self._drains.values(), now=now)
        for instance in desired:
            if instance not in self.vms:
                self.vms[instance] = VmState(instance, phase_since=now, memory=self._records.memories.of(instance))
        leased_until = now + self.lease.left_seconds(self._boottime_ns())
        plan = reconcile(desired, self.vms, now=now, leased_until=leased_until, limits=self.limits)
        for state in plan.vms.values():
            if state != self.vms.get(state.instance):
                self._set(state)
        for action in plan.actions:
            if isinstance(action, Fence) and action.instance in self._fencing:
                continue
            log.info("%s", _told(action))
            self._carry_out(action, nursery, now=now)
        ends = [drain.until for drain in self._drains.values() if drain.until > now]
        return min([math.inf if plan.wake_at is None else plan.wake_at, *ends])

    def _carry_out(self, action: Action, nursery: trio.Nursery, *, now: float) -> None:
        match action:
            case Begin():
                self._begin(action, nursery)
            case Stop(instance, _, reason):
                self._set(lifecycle.begun(self.vms[instance], Step.STOP, content=None, now=now, reason=reason))
                nursery.start_soon(self._stop, action)
            case Cancel(instance):
                self._scopes[instance].cancel()
            case Forget(instance):
                del self.vms[instance]
                self._records.forget(instance)
                nursery.start_soon(self._keep_memories)
                self._unapplied = True
                self._changed()
            case Fence(instance):
                self._fencing.add(instance)
                nursery.start_soon(self._fence, action)
            case _:
                assert_never(action)

    async def _apply(self, desired: Mapping[str, Desired], peers: tuple[Peer, ...]) -> bool:
        try:
            await self._steps.update(desired, peers)
        except (ProcuratorError, OSError) as error:
            log.warning("the assignment cannot be put into force yet: %s", _reason(error))
            return False
        self._unapplied = False
        return True

    def _begin(self, action: Begin, nursery: trio.Nursery) -> None:
        state = self.vms[action.instance]
        self._set(
            lifecycle.begun(state, action.step, content=action.content, now=trio.current_time(), reason=action.reason)
        )
        scope = self._scopes[action.instance] = trio.CancelScope()
        nursery.start_soon(self._do, action, self.desired[action.instance].attachment, scope, nursery)

    async def _do(self, action: Begin, attachment: Attachment, scope: trio.CancelScope, nursery: trio.Nursery) -> None:
        """One step, from its beginning to what it came to."""
        instance, process, failure, refused = action.instance, None, "", ""
        with scope:
            try:
                process = await self._perform(action, attachment)
            except CannotSwitch as error:
                refused = _reason(error)
            except (ProcuratorError, OSError) as error:
                failure = _reason(error)
        del self._scopes[instance]
        state, now = self.vms[instance], trio.current_time()
        if refused:
            log.warning("%s cannot be switched in place: %s", instance, refused)
            self._set(lifecycle.switch_refused(state, refused))
        elif failure:
            log.warning("%s: %s failed: %s", instance, action.step, failure)
            self._set(lifecycle.step_failed(state, failure, now=now))
        elif scope.cancelled_caught:
            self._set(lifecycle.cancelled(state, now=now))
        elif process is not None and action.step is Step.SWITCH:
            self._switched(action, process)
        elif process is not None:
            self._set(lifecycle.booted(state, process, now=now))
            nursery.start_soon(self._attend, instance, process)
        elif action.step is Step.PULL:
            self._set(lifecycle.pulled(state, now=now))
        else:
            self._set(lifecycle.prepared(state, now=now))

    async def _perform(self, action: Begin, attachment: Attachment) -> Process | None:
        match action.step:
            case Step.PULL:
                told = partial(self._pulling, action.instance)
                await self._steps.pull(action.instance, action.content, on_progress=told)
            case Step.PREPARE:
                await self._steps.prepare(action.instance, action.content)
            case Step.BOOT:
                return await self._steps.boot(action.instance, action.content, attachment)
            case Step.SWITCH:
                process = self.vms[action.instance].process
                if process is None:
                    raise Unavailable("it ended before it could be switched")
                return await self._steps.switch(action.instance, action.content, process)
            case Step.STOP:
                pass  # stops are not begun here
            case _:
                assert_never(action.step)
        return None

    def _switched(self, action: Begin, process: Process) -> None:
        """The guest runs the new System. One that has ended meanwhile is brought up anew like any other."""
        state = self.vms[action.instance]
        if not state.is_up or state.process is None or state.process.pid != process.pid:
            self._set(replace(state, step=None, step_content=""))
            return
        self._set(lifecycle.switched(state, action.content, process, now=trio.current_time()))

    def _pulling(self, instance: str, progress: PullProgress) -> None:
        """Take in how far a pull is, so often that a report can follow."""
        now, last = trio.current_time(), self._told_pulls.get(instance, -math.inf)
        state = self.vms.get(instance)
        if state is not None and (now - last >= PROGRESS_SECONDS or progress.paths_done == progress.paths_total):
            self._told_pulls[instance] = now
            self._set(replace(state, pull=progress))

    async def _stop(self, action: Stop) -> None:
        process = self.vms[action.instance].process
        await self._stop_at_last(action.instance, process, for_good=action.purpose is StopFor.REMOVE)
        state = self.vms[action.instance]
        self._set(lifecycle.stopped(state, action.purpose, now=trio.current_time(), reason=action.reason))

    async def _fence(self, action: Fence) -> None:
        """Where nobody is left who could watch over a VM, it is started anew under somebody who does."""
        try:
            await self._steps.fence(action.instance, fenced=action.fenced)
            failure = ""
        except (ProcuratorError, OSError) as error:
            failure = _reason(error)
            log.warning("%s: its shim does not take the lease: %s", action.instance, failure)
        self._fencing.discard(action.instance)
        state = self.vms.get(action.instance)
        if state is not None and state.is_up:
            again = bool(failure) and action.fenced
            self._set(replace(state, is_fenced=action.fenced, restart_wanted=state.restart_wanted or again))

    async def _stop_at_last(self, instance: str, process: Process | None, *, for_good: bool) -> None:
        """Stop until it is stopped: a VM that cannot be ended must not be counted as ended."""
        failures = 0
        while True:
            try:
                await self._steps.stop(instance, process, for_good=for_good)
                return
            except (ProcuratorError, OSError) as error:
                log.warning("%s cannot be stopped yet: %s", instance, _reason(error))
                await trio.sleep(pause_after(failures, longest=10.0))
                failures += 1

    async def _attend(self, instance: str, process: Process) -> None:
        """A process from its boot or adoption to its end: ask its checks, and see why it ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_checks, instance, process)
            nursery.start_soon(self._watch_system, instance, process)
            reason = await self._steps.ended(instance, process)
            nursery.cancel_scope.cancel()
        state = self.vms.get(instance)
        if state is not None and self._attended(instance, process) is state:
            log.warning("%s ended: %s", instance, reason)
            self._set(lifecycle.exited(state, printable(reason), now=trio.current_time()))

    async def _ask_checks(self, instance: str, process: Process) -> None:
        while True:
            state = self._attended(instance, process)
            if state is None or state.content is None:
                return
            policy, spec = state.content.spec.health, state.content.spec
            outside, inside = await self._answers(instance, process, spec)
            state = self._attended(instance, process)
            if state is None:
                return
            if outside:
                state = replace(state, health=after_round(state.health, outside, policy=policy))
            if inside:
                state = replace(state, guest=after_round(state.guest, inside, policy=policy))
            asked = [view for view, answers in ((state.health, outside), (state.guest, inside)) if answers]
            now = trio.current_time()
            running_ms = (now - process.started_at) * 1000
            said = verdict(asked, running_ms=running_ms, min_healthy_ms=self._min_healthy_ms)
            judged = lifecycle.judged(state, healthy=said is Verdict.HEALTHY, now=now)
            if judged.memory != state.memory and await self._overtaken(judged):
                continue
            if judged != self.vms.get(instance):
                self._set(judged)
            pause = next_round_ms(asked, policy, running_ms=running_ms, min_healthy_ms=self._min_healthy_ms)
            await trio.sleep(pause / 1000)

    async def _answers(self, instance: str, process: Process, spec: VmSpec) -> tuple[Answers, Answers]:
        """One round of all checks, at once: what the worker finds, and what the guest says of itself."""
        found: dict[str, Answers] = {"host": (), "guest": ()}

        async def outside() -> None:
            address, timeout_ms = process.attachment.ip, spec.health.timeout_ms
            found["host"] = await self._ask(host_checks(spec), address=address, timeout_ms=timeout_ms)

        async def inside() -> None:
            found["guest"] = await self._steps.ask_guest(
                instance, guest_checks(spec), timeout_ms=spec.health.timeout_ms
            )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(outside)
            nursery.start_soon(inside)
        return found["host"], found["guest"]

    async def _watch_system(self, instance: str, process: Process) -> None:
        """A guest that was switched in place and reset itself boots what it was created with: it is started anew."""
        while True:
            await trio.sleep(SYSTEM_SECONDS)
            state = self._attended(instance, process)
            if state is None:
                return
            running_in = state.process
            if running_in is None or not (len(running_in.layers) > 1 or running_in.is_doubtful) or state.step:
                continue
            running = await self._steps.system_of(instance)
            now = self._attended(instance, process)
            if now is None or now.content is None or now.content != state.content or now.step is not None:
                continue  # the answer is of another time
            wanted = now.content.spec.toplevel
            if running and running != wanted:
                log.warning("%s runs %s instead of %s: it is started anew", instance, running, wanted)
                self._set(replace(now, restart_wanted=True))

    def _attended(self, instance: str, process: Process) -> VmState | None:
        """The VM's state, while `process` is its process and nobody is ending it; switched in place it is the same."""
        state = self.vms.get(instance)
        if state is None or state.process is None or not state.is_up:
            return None
        return state if (state.process.pid, state.process.started_at) == (process.pid, process.started_at) else None

    def _set(self, state: VmState) -> None:
        before = self.vms.get(state.instance)
        is_new = before is not None and self._records.memories.put(state.instance, state.memory)
        if is_new or self._is_full:
            self._keep_now()
        self.vms[state.instance] = state
        self._changed()

    async def _overtaken(self, judged: VmState) -> bool:
        """Keep what a verdict has proven before anybody counts on it; whether the VM is another one meanwhile."""
        before = self.vms.get(judged.instance)
        self._records.memories.put(judged.instance, judged.memory)
        await self._keep_memories()
        return self.vms.get(judged.instance) is not before

    async def _keep_memories(self) -> None:
        await self._in_thread(self._keep_now)

    def _keep_now(self) -> None:
        """A full disk is no reason to look after no VM any more: what is not kept is kept at the next change."""
        try:
            self._records.memories.keep()
        except OSError as error:
            if not self._is_full:
                log.warning("what is known of the VMs' contents cannot be kept yet: %s", error)
            self._is_full = True
        else:
            self._is_full = False

    def _changed(self) -> None:
        self._wake.set()
        self._news.set()
        self._news = trio.Event()


def _reason(error: BaseException) -> str:
    """What went wrong in one bounded line; part of it may come from outside."""
    text = error.message if isinstance(error, ProcuratorError) else str(error)
    return " ".join(printable(text).split())[:600] or type(error).__name__


def _told(action: Action) -> str:
    what = action.step.value if isinstance(action, Begin) else type(action).__name__.lower()
    return f"{action.instance}: {what}: {action.reason}"
