"""A VM's life on its worker as a table, and what each event does to its state; it decides and does nothing.

A VM waits for its turn, has its closure pulled and its disks prepared, boots, runs until its checks pass or fail, and
is stopped. A step that fails leads back to waiting, from where it is tried again after a pause. While an earlier
content still runs, the next one is pulled and prepared without a change of phase: the phase is the process's.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

from schema.errors import Internal
from schema.status import VmPhase
from worker.backoff import pause_after
from worker.vm_state import Content, HealthState, Memory, Process, Step, StopFor, VmState


class VmEvent(StrEnum):
    """What can happen to a VM."""

    PULL = "pull"
    PREPARE = "prepare"
    BOOT = "boot"
    STEP_FAILED = "step-failed"
    SWITCHED = "switched"
    BOOTED = "booted"
    ADOPTED = "adopted"
    PASSED = "passed"
    FAILING = "failing"
    EXITED = "exited"
    STOP = "stop"
    STOPPED = "stopped"
    GIVEN_UP = "given-up"
    REMOVED = "removed"


_W, _L, _P, _B = VmPhase.WAITING, VmPhase.PULLING, VmPhase.PREPARING, VmPhase.BOOTING
_R, _H, _U = VmPhase.RUNNING, VmPhase.HEALTHY, VmPhase.UNHEALTHY
_S, _F, _G = VmPhase.STOPPING, VmPhase.FAILED, VmPhase.GONE

TRANSITIONS: Mapping[tuple[VmPhase, VmEvent], VmPhase] = MappingProxyType(
    {
        (_W, VmEvent.PULL): _L,
        (_W, VmEvent.PREPARE): _P,
        (_W, VmEvent.BOOT): _B,
        (_W, VmEvent.ADOPTED): _R,
        (_W, VmEvent.STOP): _S,
        (_W, VmEvent.GIVEN_UP): _F,
        (_L, VmEvent.PREPARE): _P,
        (_L, VmEvent.STEP_FAILED): _W,
        (_L, VmEvent.STOP): _S,
        (_P, VmEvent.BOOT): _B,
        (_P, VmEvent.PULL): _L,
        (_P, VmEvent.STEP_FAILED): _W,
        (_P, VmEvent.STOP): _S,
        (_B, VmEvent.BOOTED): _R,
        (_B, VmEvent.STEP_FAILED): _W,
        (_R, VmEvent.SWITCHED): _R,
        (_R, VmEvent.PASSED): _H,
        (_R, VmEvent.EXITED): _W,
        (_R, VmEvent.STOP): _S,
        (_H, VmEvent.SWITCHED): _R,
        (_H, VmEvent.FAILING): _U,
        (_H, VmEvent.EXITED): _W,
        (_H, VmEvent.STOP): _S,
        (_U, VmEvent.SWITCHED): _R,
        (_U, VmEvent.PASSED): _H,
        (_U, VmEvent.EXITED): _W,
        (_U, VmEvent.STOP): _S,
        (_S, VmEvent.STOPPED): _W,
        (_S, VmEvent.GIVEN_UP): _F,
        (_S, VmEvent.REMOVED): _G,
        (_F, VmEvent.PULL): _L,
        (_F, VmEvent.PREPARE): _P,
        (_F, VmEvent.BOOT): _B,
        (_F, VmEvent.STOP): _S,
    }
)
"""Every move there is. What is not here is a bug of the caller."""

_BEGINS: Mapping[Step, VmEvent] = {step: VmEvent(step.value) for step in Step if step is not Step.SWITCH}


def moved(state: VmState, event: VmEvent, *, now: float, reason: str = "") -> VmState:
    """`state` after `event`, with the time that the phase left behind took. Raises Internal for no such move."""
    to = TRANSITIONS.get((state.phase, event))
    if to is None:
        raise Internal(f"{state.instance}: nothing leads from {state.phase} by {event}")
    spent = round((now - state.phase_since) * 1000)
    return replace(
        state,
        phase=to,
        phase_since=now,
        reason=reason,
        phase_ms={**state.phase_ms, state.phase.value: spent},
    )


def begun(state: VmState, step: Step, *, content: Content | None, now: float, reason: str = "") -> VmState:
    """`state` with `step` in flight; pulling and preparing beside a running process leave its phase alone."""
    in_flight = replace(
        state,
        step=step,
        step_content=content.content_hash if content else "",
        step_since=now,
        reason=reason,
        pull=None,
    )
    if state.is_up and step in (Step.PULL, Step.PREPARE, Step.SWITCH):
        return in_flight
    if step is not Step.STOP:
        in_flight = replace(in_flight, content=content)
    if (state.phase, step) in ((VmPhase.PULLING, Step.PULL), (VmPhase.PREPARING, Step.PREPARE)):
        return in_flight  # between two steps the target changed
    after = moved(in_flight, _BEGINS[step], now=now, reason=reason)
    return replace(after, phase_ms=dict(state.staged_ms)) if step is Step.BOOT else after


def pulled(state: VmState, *, now: float) -> VmState:
    """The closure is there."""
    done = _step_done(state, staged="pulling", now=now)
    return replace(done, pulled=state.pulled | {state.step_content})


def prepared(state: VmState, *, now: float) -> VmState:
    """The image and the volumes are there."""
    done = _step_done(state, staged="preparing", now=now)
    return replace(done, prepared=state.prepared | {state.step_content})


def _step_done(state: VmState, *, staged: str, now: float) -> VmState:
    spent = round((now - state.step_since) * 1000)
    return replace(
        state,
        step=None,
        step_content="",
        stuck_since=None,
        reason="" if state.is_up else state.reason,
        staged_ms={**state.staged_ms, staged: spent},
    )


def booted(state: VmState, process: Process, *, now: float) -> VmState:
    """The hypervisor has taken the boot; whether the guest gets anywhere is the checks' business."""
    after = moved(replace(state, step=None, step_content=""), VmEvent.BOOTED, now=now)
    trying = _first(state.trying_since, state.step_since)
    after = replace(after, process=process, is_fenced=process.is_fenced, no_switch="")
    return replace(after, health=HealthState(), guest=HealthState(), healthy_since=None, trying_since=trying)


def switched(state: VmState, content: Content, process: Process, *, now: float) -> VmState:
    """The process runs another System now; whether that gets anywhere is the checks' business."""
    after = moved(replace(state, step=None, step_content=""), VmEvent.SWITCHED, now=now)
    trying = _first(state.trying_since, state.step_since)
    after = replace(after, content=content, process=process, healthy_since=None, trying_since=trying)
    return replace(after, health=HealthState(), guest=HealthState())


def switch_refused(state: VmState, reason: str) -> VmState:
    """It cannot be done in place: the next look replaces the VM."""
    return replace(state, step=None, step_content="", no_switch=state.step_content, reason=reason)


def _first(known: float | None, now: float) -> float:
    return now if known is None else known


def adopted(state: VmState, content: Content, process: Process, *, now: float) -> VmState:
    """A process of an earlier run of the worker is taken on as it is."""
    after = moved(state, VmEvent.ADOPTED, now=now)
    return replace(
        after,
        content=content,
        process=process,
        is_fenced=process.is_fenced,
        pulled=state.pulled | {content.content_hash},
        prepared=state.prepared | {content.content_hash},
        trying_since=now,
        phase_ms={},
    )


def step_failed(state: VmState, reason: str, *, now: float) -> VmState:
    """The step in flight failed or was cancelled, and has undone what it made; it is tried again after a pause."""
    idle = replace(
        state,
        step=None,
        step_content="",
        failures=state.failures + 1,
        retry_at=now + pause_after(state.failures),
    )
    if state.step not in (Step.BOOT, Step.SWITCH):
        idle = replace(idle, stuck_since=_first(state.stuck_since, state.step_since))
    else:
        idle = replace(idle, trying_since=_first(state.trying_since, state.step_since))
    if state.step is Step.BOOT:
        # What was ready may have been damaged: closure and image are looked at again, which costs little when fine.
        again = {state.step_content}
        idle = replace(idle, pulled=state.pulled - again, prepared=state.prepared - again)
    return moved(idle, VmEvent.STEP_FAILED, now=now, reason=reason) if _in_step(state) else replace(idle, reason=reason)


def _in_step(state: VmState) -> bool:
    """Whether the phase is the step's (beside a process, or after its exit, it is not)."""
    return state.phase in (VmPhase.PULLING, VmPhase.PREPARING, VmPhase.BOOTING)


def cancelled(state: VmState, *, now: float) -> VmState:
    """The step in flight was given up because something else is wanted: no failure of its content."""
    idle = replace(state, step=None, step_content="")
    return moved(idle, VmEvent.STEP_FAILED, now=now) if _in_step(state) else replace(idle, reason="")


def exited(state: VmState, reason: str, *, now: float) -> VmState:
    """The process ended by itself. A long healthy run before it makes the next pause short again."""
    was_fine = state.healthy_since is not None and now - state.healthy_since >= 60.0
    failures = 0 if was_fine else state.failures
    after = moved(state, VmEvent.EXITED, now=now, reason=reason)
    return replace(
        after,
        process=None,
        health=HealthState(),
        guest=HealthState(),
        healthy_since=None,
        restarts=state.restarts + 1,
        failures=failures + 1,
        retry_at=now + pause_after(failures),
    )


def stopped(state: VmState, purpose: StopFor, *, now: float, reason: str = "") -> VmState:
    """The process is gone because we ended it."""
    idle = replace(
        state,
        step=None,
        process=None,
        health=HealthState(),
        guest=HealthState(),
        healthy_since=None,
        restart_wanted=False,
    )
    match purpose:
        case StopFor.REMOVE:
            return moved(idle, VmEvent.REMOVED, now=now, reason=reason)
        case StopFor.FAIL:
            return given_up(idle, reason, now=now)
        case StopFor.REPLACE:
            return replace(moved(idle, VmEvent.STOPPED, now=now, reason=reason), restarts=0)
        case StopFor.FENCE:
            return replace(fenced(moved(idle, VmEvent.STOPPED, now=now, reason=reason)), retry_at=now)
        case StopFor.RESTART:
            return replace(moved(idle, VmEvent.STOPPED, now=now, reason=reason), restarts=state.restarts + 1)


def fenced(state: VmState) -> VmState:
    """It may not run for want of a lease. That is nobody's failure: no start deadline goes on meanwhile."""
    return replace(state, stuck_since=None, trying_since=None)


def given_up(state: VmState, reason: str, *, now: float) -> VmState:
    """Nothing to go back to, and not healthy in time: shown as failed, tried again later from the start."""
    after = moved(state, VmEvent.GIVEN_UP, now=now, reason=reason)
    return replace(
        after,
        stuck_since=None,
        trying_since=None,
        failures=state.failures + 1,
        retry_at=now + pause_after(max(state.failures, 5)),
    )


def judged(state: VmState, *, healthy: bool, now: float) -> VmState:
    """The verdict over a running process; what has been healthy once is proven, and never reverted later."""
    if healthy and state.phase in (VmPhase.RUNNING, VmPhase.UNHEALTHY):
        proven = Memory(proven=state.content.content_hash if state.content else "", given_up=state.memory.given_up)
        after = moved(state, VmEvent.PASSED, now=now)
        return replace(after, healthy_since=now, memory=proven, stuck_since=None, trying_since=None)
    if not healthy and state.phase is VmPhase.HEALTHY:
        return replace(moved(state, VmEvent.FAILING, now=now, reason=state.complaint), healthy_since=None)
    return state


def diagram() -> str:
    """The table as a Mermaid state diagram, for the README (a test compares)."""
    moves: dict[tuple[VmPhase, VmPhase], list[str]] = {}
    for (start, event), end in TRANSITIONS.items():
        moves.setdefault((start, end), []).append(event.value)
    lines = [f"    {start} --> {end}: {', '.join(events)}" for (start, end), events in moves.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {VmPhase.WAITING}", *lines, f"    {VmPhase.GONE} --> [*]"])
