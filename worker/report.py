"""From the worker's states to the report that it pushes; it pushes nothing and reads no clock."""

from collections.abc import Iterable, Mapping

from schema.assignment import Seen
from schema.status import Reverted, RunningVm, View, VmPhase, WorkerMetrics, WorkerReport
from worker.health import guest_checks, host_checks
from worker.reconcile import target_of
from worker.vm_state import Content, Desired, Step, VmState


def worker_report(
    worker_id: str,
    *,
    seen: Seen | None,
    desired: Mapping[str, Desired],
    vms: Mapping[str, VmState],
    volumes: Mapping[str, tuple[str, ...]],
    metrics: WorkerMetrics,
    now: float,
) -> WorkerReport:
    """All VMs that the worker has, wanted or not, in the order of their names.

    `volumes` are those on disk by instance; those of instances that are not assigned any more are reported as kept.
    """
    instances = sorted({*desired, *vms})
    return WorkerReport(
        worker_id=worker_id,
        observed_generation=max((entry.content.generation for entry in desired.values()), default=0),
        epoch=seen.epoch if seen else "",
        revision=seen.revision if seen else 0,
        running_vms=tuple(
            running_vm(
                vms.get(instance) or VmState(instance, phase_since=now),
                desired.get(instance),
                volumes=volumes.get(instance, ()),
                now=now,
            )
            for instance in instances
        ),
        metrics=metrics,
        kept_volumes=tuple(_kept(volumes, instances)),
    )


def _kept(volumes: Mapping[str, tuple[str, ...]], instances: Iterable[str]) -> list[str]:
    present = set(instances)
    return [
        f"{instance}/{name}" for instance in sorted(volumes) if instance not in present for name in volumes[instance]
    ]


def running_vm(state: VmState, desired: Desired | None, *, volumes: tuple[str, ...], now: float) -> RunningVm:
    """One VM: hashes and generation are of what runs, or of what is being brought up where nothing runs."""
    content = _shown_content(state, desired)
    attachment = state.process.attachment if state.process else desired.attachment if desired else None
    given = state.memory.given_up
    return RunningVm(
        instance=state.instance,
        generation=content.generation if content else 0,
        content_hash=content.content_hash if content else "",
        spec_hash=content.spec_hash if content else "",
        phase=state.phase,
        reason=_reason(state),
        guest_view=state.guest.view if content and guest_checks(content.spec) else View.UNKNOWN,
        host_view=state.health.view if content and host_checks(content.spec) else View.UNKNOWN,
        address=attachment.ip if attachment else "",
        pid=state.process.pid if state.process else 0,
        running_ms=_since(state.process.started_at, now) if state.process else 0,
        healthy_ms=_since(state.healthy_since, now) if state.healthy_since is not None else 0,
        restarts=state.restarts,
        phase_ms=dict(state.phase_ms),
        reverted=Reverted(content_hash=given.key[1], reason=given.reason) if given else None,
        volumes=volumes,
        pull=state.pull if state.step is Step.PULL else None,
    )


def _shown_content(state: VmState, desired: Desired | None) -> Content | None:
    if state.process is not None or state.step is not None or desired is None or state.phase is VmPhase.FAILED:
        return state.content or (desired.content if desired else None)
    return target_of(desired, state)


def _reason(state: VmState) -> str:
    if state.phase is VmPhase.RUNNING and not state.reason:
        return state.complaint
    return state.reason


def _since(moment: float, now: float) -> int:
    return max(0, round((now - moment) * 1000))
