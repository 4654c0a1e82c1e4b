"""Keep how long each instance has been healthy or not, and say when one has failed; it moves no rollout."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from control_plane.deltas import difference
from control_plane.index import index_of
from control_plane.observations import HealthClock, Observations
from control_plane.rollout.health import Verdict, judge, reverted_reason
from control_plane.state import Placement, Snapshot
from schema.status import VmPhase, WorkerReport

MARGIN_MS = 5_000
"""How long after a start deadline a worker that should have gone back by itself is waited for."""
LONGEST_PULL_MS = 10 * 60 * 1000
"""How long pulling and preparing may take in all before the start deadline counts from then on."""
_LATE = "not healthy within "


def tick(snapshot: Snapshot, observations: Observations, *, now_ms: int, lost_after_ms: int) -> Observations:
    """`observations` with each instance's clock brought up to `now_ms`; clocks of instances that went are dropped.

    Only those are judged anew whose verdict can have changed since the last time without a report: what is wanted of
    them is another, their worker fell silent or is back, or they are not healthy.
    """
    known = observations.followed
    lost = frozenset(
        worker_id
        for worker_id in observations.workers
        if observations.silent_ms(worker_id, now_ms=now_ms) > lost_after_ms
    )
    names = {*known.restless, *difference(known.placements, snapshot.placements)}
    for worker_id in lost ^ known.lost:
        names.update(index_of(snapshot).on.get(worker_id, ()))
    if not names and lost == known.lost and known.placements is snapshot.placements:
        return observations
    observations = replace(observations, followed=replace(known, placements=snapshot.placements, lost=lost))
    return _judged(snapshot, observations, names, now_ms=now_ms, lost_after_ms=lost_after_ms)


def take_report(
    snapshot: Snapshot, observations: Observations, report: WorkerReport, *, now_ms: int, lost_after_ms: int
) -> Observations:
    """`observations` with a worker's new report, and the clocks of its instances: no flapping goes unseen.

    A report that only says that time has passed judges nobody anew: what time alone changes is for `tick`.
    """
    before = observations.workers.get(report.worker_id)
    silent_ms = observations.silent_ms(report.worker_id, now_ms=now_ms)
    observations = observations.with_report(report, now_ms=now_ms)
    if silent_ms <= lost_after_ms and not observations.workers[report.worker_id].tells_news(before):
        return observations
    mine = index_of(snapshot).on.get(report.worker_id, ())
    return _judged(snapshot, observations, mine, now_ms=now_ms, lost_after_ms=lost_after_ms)


def _judged(
    snapshot: Snapshot, observations: Observations, names: Collection[str], *, now_ms: int, lost_after_ms: int
) -> Observations:
    """`observations` with the clocks of `names` brought up to now. Where none changes, nothing is copied."""
    news: dict[str, HealthClock] = {}
    restless = set()
    for instance in names:
        placement = snapshot.placements.get(instance)
        if placement is None:
            continue
        old = observations.clocks.get(instance)
        verdict = judge(snapshot, observations, placement, now_ms=now_ms, lost_after_ms=lost_after_ms)
        clock = _next_clock(old, placement, verdict, now_ms=now_ms)
        if clock is not old:
            news[instance] = clock
        if not clock.healthy:
            restless.add(instance)
    gone = [instance for instance in names if instance not in snapshot.placements and instance in observations.clocks]
    followed = observations.followed
    rested = [instance for instance in names if instance not in restless]
    waking = {instance: None for instance in restless if instance not in followed.restless}
    now_restless = followed.restless.changed(put=waking, drop=rested)
    if now_restless is not followed.restless:
        followed = replace(followed, restless=now_restless)
    clocks = observations.clocks.changed(put=news, drop=gone)
    if clocks is observations.clocks and followed is observations.followed:
        return observations
    return replace(observations, clocks=clocks, followed=followed)


def _next_clock(old: HealthClock | None, placement: Placement, verdict: Verdict, *, now_ms: int) -> HealthClock:
    if old is None or not old.is_of(placement):
        return HealthClock(
            placement.generation, placement.revision, first_ms=now_ms, since_ms=now_ms, healthy=verdict.healthy
        )
    still_pulling = verdict.starting and now_ms - old.first_ms < LONGEST_PULL_MS
    if old.healthy != verdict.healthy or still_pulling:
        return replace(old, since_ms=now_ms, healthy=verdict.healthy)
    return old


def healthy_for_ms(clocks: Mapping[str, HealthClock], placement: Placement, *, now_ms: int) -> int | None:
    """How long `placement` has been healthy on its present target, None when it is not."""
    clock = clocks.get(placement.instance)
    if clock is None or not clock.is_of(placement) or not clock.healthy:
        return None
    return now_ms - clock.since_ms


def late_ms(snapshot: Snapshot, clocks: Mapping[str, HealthClock], placement: Placement, *, now_ms: int) -> int:
    """How far past its start deadline an instance that is not healthy is; below zero before it."""
    clock = clocks.get(placement.instance)
    spec = snapshot.wanted_spec(placement.instance)
    deadline = spec.value.health.start_deadline_ms if spec else 0
    if clock is None or not clock.is_of(placement) or clock.healthy:
        return -deadline
    return now_ms - clock.since_ms - deadline


def failure_of(
    snapshot: Snapshot, observations: Observations, placement: Placement, *, now_ms: int, lost_after_ms: int
) -> str | None:
    """Why the instance counts as failed on its target, None while it may still get healthy.

    Its worker went back from it; or it is in phase failed past the start deadline; or it is past that and a margin.
    """
    if placement.is_assigned:
        reverted = reverted_reason(snapshot, observations.workers.get(placement.worker_id), placement)
        if reverted is not None:
            return reverted
    spec = snapshot.wanted_spec(placement.instance)
    deadline = spec.value.health.start_deadline_ms if spec else 0
    late = late_ms(snapshot, observations.clocks, placement, now_ms=now_ms)
    if late < MARGIN_MS and not _given_up(snapshot, observations, placement, now_ms=now_ms, deadline_ms=deadline):
        return None
    verdict = judge(snapshot, observations, placement, now_ms=now_ms, lost_after_ms=lost_after_ms)
    if _LATE in verdict.reason:
        return verdict.reason  # its worker says so already
    return f"{_LATE}{deadline / 1000:g} s: {verdict.reason}"


def _given_up(
    snapshot: Snapshot, observations: Observations, placement: Placement, *, now_ms: int, deadline_ms: int
) -> bool:
    """Whether its worker shows it as failed, and it has been wanted for longer than its start deadline.

    The worker counts from the first boot, whatever came after; so this counts from when the target was first seen.
    """
    observed = observations.workers.get(placement.worker_id)
    clock = observations.clocks.get(placement.instance)
    if observed is None or clock is None or not observed.obeys(snapshot, placement.revision):
        return False
    vm = observed.vms.get(placement.instance)
    is_failed = vm is not None and vm.phase is VmPhase.FAILED and clock.is_of(placement)
    return is_failed and now_ms - clock.first_ms >= deadline_ms
