"""From what is assigned, what is seen and the time to what is done next, each with its reason; it does none of it.

Every VM has at most one step in flight. For each of the others the next one is chosen by looking at the whole state
again (level-triggered), so a lost wake-up or a restart costs nothing. A content that never got healthy by its start
deadline gives way to the entry's fallback and is not tried again before the entry names another content or generation.
A fenced singleton is booted only under the worker's lease, and ended when that is over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from schema.blueprint import UpdateStrategy
from schema.status import VmPhase
from worker.lifecycle import fenced, given_up
from worker.switching import why_not_in_place
from worker.vm_state import Content, Desired, GivenUp, Step, StopFor, VmState


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be in flight at once; `memory_mb` (MiB) is what the machine has for VMs."""

    parallel_boots: int
    parallel_pulls: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Pull, prepare or boot `content`."""

    instance: str
    step: Step
    content: Content
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the VM's process, or what a process would need; `purpose` says what becomes of it."""

    instance: str
    purpose: StopFor
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up the step in flight; it undoes what it made."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """The VM is gone and nothing of it is left to report but its volumes."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fence:
    """Put a running VM under the worker's lease, or take it out, as its live fields say now."""

    instance: str
    fenced: bool
    reason: str


Action = Begin | Stop | Cancel | Forget | Fence


@dataclass(frozen=True, slots=True)
class Plan:
    """States with what was decided about them (given up, retargeted), actions in order, and when to look again."""

    vms: Mapping[str, VmState]
    actions: tuple[Action, ...]
    wake_at: float | None


@dataclass(frozen=True, slots=True)
class _Choice:
    state: VmState
    action: Action | None = None
    wake_at: float | None = None


def target_of(desired: Desired, state: VmState) -> Content:
    """What shall run: the entry's content, or its fallback where that content was given up."""
    given = state.memory.given_up
    if given and desired.fallback and given.key == desired.content.key:
        return desired.fallback
    return desired.content


def reconcile(
    desired: Mapping[str, Desired], vms: Mapping[str, VmState], *, now: float, leased_until: float, limits: Limits
) -> Plan:
    """The next actions: stops and cancels first, then boots, preparations and pulls within `limits`.

    `leased_until`: when the worker's lease is over, on the clock of `now`.
    """
    choices = {}
    for instance in sorted({*desired, *vms}):
        state = vms.get(instance) or VmState(instance, phase_since=now)
        choices[instance] = _choose(desired.get(instance), state, now, leased_until=leased_until)
    states = {instance: choice.state for instance, choice in choices.items()}
    wanted = [choice.action for choice in choices.values() if choice.action]
    times = [choice.wake_at for choice in choices.values() if choice.wake_at is not None]
    return Plan(
        vms=states,
        actions=tuple(_within(limits, wanted, states)),
        wake_at=min(times, default=None),
    )


def _choose(desired: Desired | None, state: VmState, now: float, *, leased_until: float) -> _Choice:
    if desired is None:
        return _let_go(state)
    if state.phase is VmPhase.GONE:
        state = VmState(state.instance, phase_since=now)  # assigned again while it was being removed
    state = _recalled(desired, state)
    target = target_of(desired, state)
    state = _retargeted(state, target)
    if not _is_fenced(state, target):
        return _go_on(desired, state, target=target, now=now, leased_until=leased_until)
    if now >= leased_until:
        return _without_lease(state, target, now)
    choice = _go_on(desired, state, target=target, now=now, leased_until=leased_until)
    return replace(choice, wake_at=min(choice.wake_at or leased_until, leased_until))


def _is_fenced(state: VmState, target: Content) -> bool:
    """Whether what runs, or what shall, needs a lease."""
    runs = state.content if state.process or state.step is Step.BOOT else None
    return target.spec.is_fenced or (runs is not None and runs.spec.is_fenced)


def _without_lease(state: VmState, target: Content, now: float) -> _Choice:
    """A fenced singleton that may run elsewhere by now: end it here, and make ready without booting it."""
    reason = "it waits for a lease of the control plane"
    if state.step is Step.STOP:
        return _Choice(state)
    if state.step is Step.BOOT or (state.step is not None and state.process is not None):
        return _Choice(state, Cancel(state.instance, reason))
    if state.process is not None:
        return _Choice(state, Stop(state.instance, StopFor.FENCE, "the worker's lease has run out"))
    if state.step is not None:
        return _Choice(state)
    choice = _bring_up(fenced(state), target, now)
    if isinstance(choice.action, Begin) and choice.action.step is Step.BOOT:
        return _Choice(replace(choice.state, reason=reason))
    return choice


def _go_on(desired: Desired, state: VmState, *, target: Content, now: float, leased_until: float) -> _Choice:
    """What is due for one that may run."""
    if state.step is not None:
        # A switch is not given up half way: what the guest is then, nobody could tell.
        if state.step in (Step.STOP, Step.SWITCH) or state.step_content == target.content_hash:
            return _Choice(state)
        return _Choice(state, Cancel(state.instance, f"generation {target.generation} is wanted instead"))
    if state.process and state.process.attachment != desired.attachment:
        return _Choice(state, Stop(state.instance, StopFor.REPLACE, "its address or MAC changed"))
    if state.is_up and state.restart_wanted:
        return _Choice(state, Stop(state.instance, StopFor.RESTART, "a restart was asked for"))
    if state.is_up and state.content and state.is_fenced != state.content.spec.is_fenced:
        wanted = state.content.spec.is_fenced
        return _Choice(state, Fence(state.instance, wanted, f"it is {'now' if wanted else 'no longer'} a singleton"))
    late_at = _late_at(state, target)
    if late_at is not None and now >= late_at:
        too_late = _too_late(desired, state, target=target, now=now, leased_until=leased_until)
        if too_late is not None:
            return too_late
        late_at = None
    choice = _Choice(state) if state.is_up and _runs(state, target) else _bring_up(state, target, now)
    times = [moment for moment in (choice.wake_at, late_at) if moment is not None]
    return replace(choice, wake_at=min(times, default=None))


def _let_go(state: VmState) -> _Choice:
    """What is not assigned (any more)."""
    reason = "it is not assigned to this worker"
    if state.phase is VmPhase.GONE:
        return _Choice(state, Forget(state.instance, reason))
    if state.step is Step.STOP:
        return _Choice(state)
    if state.step is not None:
        return _Choice(state, Cancel(state.instance, reason))
    return _Choice(state, Stop(state.instance, StopFor.REMOVE, reason))


def _recalled(desired: Desired, state: VmState) -> VmState:
    """A given-up content is remembered until the entry names another content or generation."""
    given = state.memory.given_up
    if given is None or given.key == desired.content.key:
        return state
    return replace(state, memory=replace(state.memory, given_up=None))


def _runs(state: VmState, target: Content) -> bool:
    return state.content is not None and state.content.content_hash == target.content_hash


def _retargeted(state: VmState, target: Content) -> VmState:
    """A new target starts with a clean record; equal content takes on the new generation's live fields."""
    runs = _runs(state, target)
    if state.target != target.key:
        state = replace(
            state,
            target=target.key,
            failures=state.failures if runs else 0,
            retry_at=state.retry_at if runs else 0.0,
            stuck_since=None,
            trying_since=state.trying_since if runs else None,
            staged_ms=state.staged_ms if runs else {},
        )
    return replace(state, content=target) if runs and state.content != target else state


def _late_at(state: VmState, target: Content) -> float | None:
    """When a target that was never healthy here is too late; None for one that was, or was not tried yet."""
    since = state.stuck_since if state.trying_since is None else state.trying_since
    if since is None or state.memory.proven == target.content_hash:
        return None
    return since + target.spec.health.start_deadline_ms / 1000


def _too_late(desired: Desired, state: VmState, *, target: Content, now: float, leased_until: float) -> _Choice | None:
    """Back to the fallback; without one, stopped and shown as failed. None: the earlier content runs on meanwhile."""
    why = state.complaint if state.is_up and _runs(state, target) else state.reason
    reason = f"not healthy within {target.spec.health.start_deadline_ms} ms{f': {why}' if why else ''}"
    fallback = desired.fallback
    if target.key == desired.content.key and fallback and fallback.content_hash != target.content_hash:
        given_up_now = GivenUp(target.key, reason)
        state = replace(state, memory=replace(state.memory, given_up=given_up_now))
        return _choose(desired, state, now, leased_until=leased_until)
    if state.is_up and _runs(state, target):
        return _Choice(state, Stop(state.instance, StopFor.FAIL, reason))
    if state.phase is VmPhase.WAITING:
        failed = given_up(state, reason, now=now)
        return _Choice(failed, wake_at=failed.retry_at)
    return None


def _bring_up(state: VmState, target: Content, now: float) -> _Choice:
    """The next step towards `target`, beside whatever runs; that is stopped when all is ready."""
    if now < state.retry_at:
        return _Choice(state, wake_at=state.retry_at)
    wanted = f"generation {target.generation}"
    if target.content_hash not in state.pulled:
        return _Choice(state, Begin(state.instance, Step.PULL, target, f"pulling {wanted}"))
    if target.content_hash not in state.prepared:
        return _Choice(state, Begin(state.instance, Step.PREPARE, target, f"preparing {wanted}"))
    if state.is_up:
        return _Choice(state, _succeed(state, target, wanted))
    return _Choice(state, Begin(state.instance, Step.BOOT, target, f"booting {wanted}"))


def _succeed(state: VmState, target: Content, wanted: str) -> Begin | Stop:
    """In place where that can be done, else by a VM of its own; why not is only told of who would have it."""
    layers = state.process.layers if state.process else ()
    why = why_not_in_place(state.content, target, layers=layers)
    if why is None and state.no_switch == target.content_hash:
        why = state.reason or "it was tried"
    if why is None:
        return Begin(state.instance, Step.SWITCH, target, f"switching to {wanted} in place")
    is_told = target.spec.update.strategy is UpdateStrategy.SWITCH
    reason = f"making way for {wanted}" + (f", which cannot be switched to in place: {why}" if is_told else "")
    return Stop(state.instance, StopFor.REPLACE, reason)


def _within(limits: Limits, wanted: list[Action], vms: Mapping[str, VmState]) -> Iterator[Action]:
    """Stops first; then as much else as may be in flight. What is left out is chosen again at the next look."""
    ends = [action for action in wanted if not isinstance(action, Begin)]
    yield from ends
    stopping = any(isinstance(end, Stop) for end in ends) or any(vm.step is Step.STOP for vm in vms.values())
    boots = limits.parallel_boots - sum(vm.step in (Step.BOOT, Step.SWITCH) for vm in vms.values())
    pulls = limits.parallel_pulls - sum(vm.step is Step.PULL for vm in vms.values())
    used_mb = sum(_memory_mb(vm) for vm in vms.values())
    begins = [action for action in wanted if isinstance(action, Begin)]
    for action in begins:
        if action.step is Step.SWITCH and boots > 0:
            boots -= 1
            yield action
        if action.step is Step.BOOT and boots > 0:
            used_mb += action.content.spec.memory_mb
            # A stop that is under way will make room: a boot that does not fit yet waits for it.
            if stopping and used_mb > limits.memory_mb:
                used_mb -= action.content.spec.memory_mb
                continue
            boots -= 1
            yield action
    yield from (action for action in begins if action.step is Step.PREPARE)
    yield from [action for action in begins if action.step is Step.PULL][: max(pulls, 0)]


def _memory_mb(vm: VmState) -> int:
    occupied = vm.process is not None or vm.step is Step.BOOT
    return vm.content.spec.memory_mb if occupied and vm.content else 0
