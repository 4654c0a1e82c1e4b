"""What people see of the cluster, from a snapshot, the observations and the time; it shows and decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.generations import generation_status
from control_plane.observations import Observations
from control_plane.rollout.clocks import healthy_for_ms
from control_plane.rollout.health import Verdict, judge
from control_plane.scheduler.addresses import mac_of
from control_plane.state import NOTHING, Placement, Snapshot, WorkerRecord, natural
from control_plane.words import convergence
from schema.status import (
    ClusterStatus,
    RunningVm,
    View,
    VmPhase,
    VmStatus,
    WorkerMetrics,
    WorkerState,
    WorkerStatus,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is: monotonic milliseconds, Unix milliseconds, and after how much silence a worker is lost."""

    now_ms: int
    wall_ms: int
    lost_after_ms: int


def cluster_status(snapshot: Snapshot, observations: Observations, moment: Moment) -> ClusterStatus:
    """The whole cluster at `moment`."""
    vms = tuple(
        vm_status(snapshot, observations, snapshot.placements[instance], moment)
        for instance in sorted(snapshot.placements, key=natural)
    )
    word, reason = convergence(snapshot, vms, wall_ms=moment.wall_ms)
    newest = snapshot.newest
    return ClusterStatus(
        realm=snapshot.realm,
        cluster=newest.header.cluster if newest else "",
        origin=snapshot.origin,
        time_ms=moment.wall_ms,
        epoch=snapshot.epoch,
        convergence=word,
        reason=reason,
        generations=tuple(
            generation_status(snapshot, snapshot.generations[number])
            for number in sorted(snapshot.generations, reverse=True)
        ),
        workers=tuple(
            _worker_status(snapshot, observations, worker, moment) for _, worker in sorted(snapshot.workers.items())
        ),
        vms=vms,
    )


def worker_state(observations: Observations, worker_id: str, moment: Moment) -> WorkerState:
    """Lost after a silence; after our own restart every worker has that long to be heard of again."""
    silent_ms = observations.silent_ms(worker_id, now_ms=moment.now_ms)
    return WorkerState.LOST if silent_ms > moment.lost_after_ms else WorkerState.READY


def lost_workers(snapshot: Snapshot, observations: Observations, moment: Moment) -> frozenset[str]:
    """The workers that show as lost."""
    states = {worker_id: worker_state(observations, worker_id, moment) for worker_id in snapshot.workers}
    return frozenset(worker_id for worker_id, state in states.items() if state is WorkerState.LOST)


def _worker_status(
    snapshot: Snapshot, observations: Observations, worker: WorkerRecord, moment: Moment
) -> WorkerStatus:
    observed = observations.workers.get(worker.worker_id)
    placed = list(snapshot.placed_on(worker.worker_id))
    return WorkerStatus(
        worker_id=worker.worker_id,
        state=worker_state(observations, worker.worker_id, moment),
        subnet=worker.subnet,
        facts=worker.facts,
        metrics=observed.report.metrics if observed else WorkerMetrics(),
        cpu_used=sum(placement.reserved.cpu for placement in placed),
        memory_used_mb=sum(placement.reserved.memory_mb for placement in placed),
        vms=len(placed),
        revision=worker.revision,
        observed_revision=observed.report.revision if observed and observed.report.epoch == snapshot.epoch else 0,
        seen_ms_ago=observations.silent_ms(worker.worker_id, now_ms=moment.now_ms),
        connected=worker.worker_id in observations.connected,
    )


def vm_status(snapshot: Snapshot, observations: Observations, placement: Placement, moment: Moment) -> VmStatus:
    """One instance: what is wanted, what runs, the views and the verdict."""
    verdict = judge(snapshot, observations, placement, now_ms=moment.now_ms, lost_after_ms=moment.lost_after_ms)
    spec = snapshot.wanted_spec(placement.instance)
    content = spec.content_hash if spec else ""
    network = spec.value.network if spec else None
    return VmStatus(
        instance=placement.instance,
        vm=placement.vm,
        generation=placement.generation,
        content_hash=content,
        worker_id=placement.worker_id,
        placement_reason=str(placement.reason),
        address=placement.address.partition("/")[0],
        mac=mac_of(realm=snapshot.realm, instance=placement.instance),
        ports=tuple(f"{port.name}:{port.port}" for port in network.ports) if network else (),
        **_seen(snapshot, observations, placement, moment, verdict=verdict, content=content),
    )


def _seen(
    snapshot: Snapshot,
    observations: Observations,
    placement: Placement,
    moment: Moment,
    *,
    verdict: Verdict,
    content: str,
) -> Mapping[str, object]:
    healthy, reason = _counted(snapshot, observations, placement, moment, verdict=verdict)
    fields: dict[str, object] = {"healthy": healthy, "reason": reason, "control_plane_view": verdict.view}
    vm = observations.vm(placement.worker_id, placement.instance)
    if vm is None:
        return fields
    known = worker_state(observations, placement.worker_id, moment) is not WorkerState.LOST
    return {
        **fields,
        **_of_report(vm),
        "guest_view": vm.guest_view if known else View.UNKNOWN,
        "host_view": vm.host_view if known else View.UNKNOWN,
        "drift": vm.phase.has_process and placement.generation != NOTHING and vm.content_hash != content,
    }


def _of_report(vm: RunningVm) -> dict[str, object]:
    return {
        "phase": vm.phase,
        "running_generation": vm.generation,
        "running_content_hash": vm.content_hash,
        "pid": vm.pid,
        "running_ms": vm.running_ms,
        "restarts": vm.restarts,
        "phase_ms": vm.phase_ms,
    }


def _counted(
    snapshot: Snapshot, observations: Observations, placement: Placement, moment: Moment, *, verdict: Verdict
) -> tuple[bool, str]:
    """Without a check, running counts as healthy only after the rollout's `minHealthyMs`."""
    vm = observations.vm(placement.worker_id, placement.instance)
    if not verdict.healthy or vm is None or vm.phase is VmPhase.HEALTHY or snapshot.newest is None:
        return verdict.healthy, verdict.reason
    needed = snapshot.newest.rollout.value.min_healthy_ms
    lasted = max(healthy_for_ms(observations.clocks, placement, now_ms=moment.now_ms) or 0, vm.running_ms)
    return (True, "") if lasted >= needed else (False, f"running, healthy after {needed} ms")
