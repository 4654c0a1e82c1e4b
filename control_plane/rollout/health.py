"""Judge one instance by what its worker reports: healthy or not, why, and the control plane's own view; no clocks."""

from dataclasses import dataclass

from control_plane.observations import Observations, Observed, SeenVm
from control_plane.state import Placement, Snapshot, Spec
from schema.status import View, VmPhase


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an instance does what it shall now.

    `starting`: it is on its way to its first boot of this content, or no worker at all is there to boot it.
    """

    healthy: bool
    reason: str
    view: View
    starting: bool = False


PHASES_BEFORE_BOOT = (VmPhase.WAITING, VmPhase.PULLING, VmPhase.PREPARING)


def judge(
    snapshot: Snapshot, observations: Observations, placement: Placement, *, now_ms: int, lost_after_ms: int
) -> Verdict:
    """The verdict on `placement`: guest, worker and control plane must agree, unknown views apart (DESIGN §6)."""
    if not placement.worker_id:
        nobody = not any(_is_heard(observations, worker_id, now_ms, lost_after_ms) for worker_id in snapshot.workers)
        return Verdict(False, f"not placed: {placement.reason}", View.UNKNOWN, starting=nobody)
    if placement.leaving:
        return Verdict(False, f"leaves {placement.worker_id}", View.UNKNOWN)
    observed = observations.workers.get(placement.worker_id)
    silent_ms = observations.silent_ms(placement.worker_id, now_ms=now_ms)
    if observed is None or silent_ms > lost_after_ms:
        since = f"for {silent_ms // 1000} s" if observed else "since the control plane started"
        return Verdict(False, f"{placement.worker_id} has not been heard of {since}", View.UNKNOWN)
    spec = snapshot.wanted_spec(placement.instance)
    vm = observed.vms.get(placement.instance)
    if spec is None or vm is None:
        return Verdict(False, f"{placement.worker_id} has not begun with it", View.FAILING)
    if vm.content_hash != spec.content_hash:
        # The old one may run on while the worker pulls the new one, once it knows of it.
        starting = vm.reverted is None and observed.obeys(snapshot, placement.revision)
        words = vm.reason or vm.phase.value
        return Verdict(False, f"still has generation {vm.generation} ({words})", View.FAILING, starting=starting)
    return _judge_report(spec, placement, vm)


def _is_heard(observations: Observations, worker_id: str, now_ms: int, lost_after_ms: int) -> bool:
    if worker_id not in observations.workers:
        return False
    return observations.silent_ms(worker_id, now_ms=now_ms) <= lost_after_ms


def _judge_report(spec: Spec, placement: Placement, vm: SeenVm) -> Verdict:
    words = vm.reason or vm.phase.value
    if not _applied(spec, placement, vm):
        return Verdict(False, "its live fields have not been applied yet", View.FAILING)
    if vm.phase in PHASES_BEFORE_BOOT:
        # One that waits because it has crashed is not on its way to its first boot.
        return Verdict(False, words, View.FAILING, starting=vm.restarts == 0)
    for view, whose in ((vm.guest_view, "the guest"), (vm.host_view, "the worker")):
        if view is View.FAILING:
            return Verdict(False, f"{whose} finds it failing: {words}", View.FAILING)
    runs_unchecked = vm.phase is VmPhase.RUNNING and not spec.value.health.checks
    if vm.phase is VmPhase.HEALTHY or runs_unchecked:
        return Verdict(True, "", View.OK)
    return Verdict(False, words, View.FAILING)


def _applied(spec: Spec, placement: Placement, vm: SeenVm) -> bool:
    """Equal bytes are applied whatever number they came under."""
    return vm.spec_hash == spec.sha256 or vm.generation == placement.generation


def reverted_reason(snapshot: Snapshot, observed: Observed | None, placement: Placement) -> str | None:
    """Why the worker went back from what `placement` wants, None where it did not.

    A word about the same content under an older revision does not count: the worker tries again with each revision.
    """
    spec = snapshot.wanted_spec(placement.instance)
    vm = observed.vms.get(placement.instance) if observed else None
    if observed is None or vm is None or vm.reverted is None or spec is None:
        return None
    if vm.reverted.content_hash != spec.content_hash or not observed.obeys(snapshot, placement.revision):
        return None
    return vm.reverted.reason or "its worker went back to what was"
