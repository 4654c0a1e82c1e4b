"""What people see of the cluster, from a snapshot, the observations and the time; it shows and decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.generations import generation_status
from control_plane.index import index_of
from control_plane.liveness.eviction import is_bound
from control_plane.liveness.losses import mass_loss
from control_plane.liveness.standing import standing_of
from control_plane.liveness.timing import DEFAULT, Timing
from control_plane.observations import Observations, SeenVm
from control_plane.rollout.clocks import healthy_for_ms
from control_plane.rollout.health import Verdict, judge
from control_plane.scheduler.addresses import mac_of
from control_plane.scheduler.availability import Availability, Standing
from control_plane.state import NOTHING, Placement, Snapshot, WorkerRecord, natural
from control_plane.words import convergence
from schema.status import (
    ClusterStatus,
    View,
    VmPhase,
    VmStatus,
    WorkerMetrics,
    WorkerState,
    WorkerStatus,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is: monotonic milliseconds, Unix milliseconds, and after how much silence what follows."""

    now_ms: int
    wall_ms: int
    timing: Timing = DEFAULT

    @property
    def lost_after_ms(self) -> int:
        """After how much silence a worker is lost."""
        return self.timing.lost_after_ms


def cluster_status(snapshot: Snapshot, observations: Observations, moment: Moment) -> ClusterStatus:
    """The whole cluster at `moment`."""
    vms = tuple(
        vm_status(snapshot, observations, snapshot.placements[instance], moment)
        for instance in sorted(snapshot.placements, key=natural)
    )
    word, reason = convergence(snapshot, vms, wall_ms=moment.wall_ms)
    stopped = mass_loss(snapshot, observations, now_ms=moment.now_ms, timing=moment.timing)
    newest = snapshot.newest
    return ClusterStatus(
        realm=snapshot.realm,
        cluster=newest.header.cluster if newest else "",
        origin=snapshot.origin,
        time_ms=moment.wall_ms,
        epoch=snapshot.epoch,
        convergence=word,
        reason=f"{reason}; {stopped}" if stopped else reason,
        generations=tuple(
            generation_status(snapshot, snapshot.generations[number])
            for number in sorted(snapshot.generations, reverse=True)
        ),
        workers=tuple(
            _worker_status(snapshot, observations, worker, moment) for _, worker in sorted(snapshot.workers.items())
        ),
        vms=vms,
    )


STATES = {
    Standing.LOST: WorkerState.LOST,
    Standing.CORDONED: WorkerState.CORDONED,
    Standing.DRAINING: WorkerState.DRAINING,
}
"""What people see of a standing; all others are ready, or will be when they are heard of."""


def standing(snapshot: Snapshot, observations: Observations, worker_id: str, moment: Moment) -> Availability:
    """Whether a worker takes anything new, and why not."""
    return standing_of(snapshot, observations, worker_id, now_ms=moment.now_ms, timing=moment.timing)


def _worker_status(
    snapshot: Snapshot, observations: Observations, worker: WorkerRecord, moment: Moment
) -> WorkerStatus:
    observed = observations.workers.get(worker.worker_id)
    placed = index_of(snapshot).on.get(worker.worker_id, {}).values()
    found = standing(snapshot, observations, worker.worker_id, moment)
    return WorkerStatus(
        worker_id=worker.worker_id,
        state=STATES.get(found.standing, WorkerState.READY),
        reason=found.reason,
        subnet=worker.subnet,
        facts=worker.facts,
        metrics=observed.metrics if observed else WorkerMetrics(),
        cpu_used=sum(placement.reserved.cpu for placement in placed),
        memory_used_mb=sum(placement.reserved.memory_mb for placement in placed),
        vms=len(placed),
        revision=worker.revision,
        observed_revision=observed.revision if observed and observed.epoch == snapshot.epoch else 0,
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
    silent_ms = observations.silent_ms(placement.worker_id, now_ms=moment.now_ms)
    known = not placement.worker_id or silent_ms <= moment.lost_after_ms
    if not known and is_bound(snapshot, placement):
        reason = f"volume on {placement.worker_id}; {reason}"
    fields: dict[str, object] = {"healthy": healthy, "reason": reason, "control_plane_view": verdict.view}
    vm = observations.vm(placement.worker_id, placement.instance)
    if vm is None:
        return fields
    return {
        **fields,
        **_of_report(vm),
        "guest_view": vm.guest_view if known else View.UNKNOWN,
        "host_view": vm.host_view if known else View.UNKNOWN,
        "drift": vm.phase.has_process and placement.generation != NOTHING and vm.content_hash != content,
    }


def _of_report(vm: SeenVm) -> dict[str, object]:
    return {
        "phase": vm.phase,
        "running_generation": vm.generation,
        "running_content_hash": vm.content_hash,
        "pid": vm.pid,
        "running_ms": vm.running_ms,
        "restarts": vm.restarts,
        "phase_ms": dict(vm.phase_ms),
        "pull": vm.pull,
    }


def _counted(
    snapshot: Snapshot, observations: Observations, placement: Placement, moment: Moment, *, verdict: Verdict
) -> tuple[bool, str]:
    """Without a check, running counts as healthy only after the rollout's `minHealthyMs`."""
    vm = observations.vm(placement.worker_id, placement.instance)
    if not verdict.healthy or vm is None or snapshot.newest is None:
        return verdict.healthy, verdict.reason
    if vm.phase is VmPhase.HEALTHY:
        return True, verdict.reason or vm.reason
    needed = snapshot.newest.rollout.value.min_healthy_ms
    lasted = max(healthy_for_ms(observations.clocks, placement, now_ms=moment.now_ms) or 0, vm.running_ms)
    return (True, "") if lasted >= needed else (False, f"running, healthy after {needed} ms")
