"""Rollouts, generations, workers, tokens and the audit as tables; pure functions of what the control plane answered."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cli.render.text import cell, duration, share, short, table
from schema.operations import (
    AuditEntry,
    AuditVerdict,
    Explanation,
    Hold,
    RolloutStatus,
    TokenInfo,
    WaveState,
    WaveStatus,
    WorkerAdmission,
    WorkerFit,
)
from schema.status import ClusterStatus, Event, GenerationStatus, RolloutState, WorkerStatus

NEVER = "-"


def moment(at_ms: int) -> str:
    """Unix milliseconds as `2026-11-21 15:04:05Z`; `-` for 0."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at_ms else NEVER


def generation_table(generations: Iterable[GenerationStatus]) -> str:
    """A line for each generation."""
    rows = [
        (str(one.number), short(one.commit), one.state.value, moment(one.published_at_ms), str(one.origin), one.reason)
        for one in generations
    ]
    return table(("GENERATION", "COMMIT", "STATE", "PUBLISHED", "ORIGIN", "REASON"), rows)


def rollout_text(rollout: RolloutStatus) -> str:
    """One rollout: its state, its waves, and what did not get healthy."""
    reason = f": {cell(rollout.reason)}" if rollout.reason else ""
    parts = [f"generation {rollout.generation}  {rollout.state.value}{reason}"]
    if rollout.waves:
        rows = [_wave_row(wave) for wave in rollout.waves]
        parts.append(table(("WAVE", "STATE", "HEALTHY", "FAILED", "GATE", "WAITS FOR"), rows))
    if rollout.failed:
        parts.append(table(("FAILED", "REASON"), sorted(rollout.failed.items())))
    if way := _way_on(rollout):
        parts.append(way)
    return "\n\n".join(parts)


def _way_on(rollout: RolloutStatus) -> str:
    """What an operator may do where a rollout waits for one."""
    if rollout.state is RolloutState.PAUSED:
        return "Go on with `pcr rollout resume`, or end it with `pcr rollout abort`."
    waits = next((wave for wave in rollout.waves if wave.state is WaveState.WAITING), None)
    is_next = waits is not None and not any(wave.state is WaveState.OPEN for wave in rollout.waves)
    if rollout.state is RolloutState.RUNNING and waits and is_next and waits.gate == "approve":
        return "Open the next wave with `pcr rollout promote`."
    return ""


def _wave_row(wave: WaveStatus) -> tuple[str, ...]:
    healthy = f"{wave.healthy}/{len(wave.instances)}"
    return str(wave.number), wave.state.value, healthy, str(wave.failed), wave.gate, wave.waits_for or NEVER


def rollout_table(rollouts: Iterable[RolloutStatus]) -> str:
    """A line for each rollout."""
    rows = [
        (str(one.generation), one.state.value, moment(one.started_at_ms), moment(one.ended_at_ms), one.reason)
        for one in rollouts
    ]
    return table(("GENERATION", "STATE", "STARTED", "ENDED", "REASON"), rows)


def hold_table(holds: Sequence[Hold]) -> str:
    """A line for each hold."""
    if not holds:
        return "nothing is held"
    rows = [
        (one.id, str(one.generation), ", ".join(one.vms), one.actor, moment(one.created_at_ms), one.reason)
        for one in holds
    ]
    return table(("HOLD", "GENERATION", "VMS", "BY", "SINCE", "REASON"), rows)


def worker_table(admissions: Sequence[WorkerAdmission], status: ClusterStatus) -> str:
    """A line for each worker that ever asked to join: whether it may work, and how it does."""
    if not admissions:
        return "no worker has asked to join"
    known = {worker.worker_id: worker for worker in status.workers}
    rows = [_worker_row(one, known.get(one.worker_id)) for one in admissions]
    return table(("WORKER", "STATE", "VMS", "CPU", "MEMORY", "SEEN", "KEY", "REASON"), rows)


def _worker_row(one: WorkerAdmission, now: WorkerStatus | None) -> tuple[str, ...]:
    works = one.admission.value == "approved" and now is not None
    return (
        one.worker_id,
        now.state.value if works and now else one.admission.value,
        str(now.vms) if now else NEVER,
        share(now.cpu_used if now else 0, one.facts.cpu),
        share(now.memory_used_mb if now else 0, one.facts.memory_mb, " MiB"),
        f"{duration(now.seen_ms_ago)} ago" if works and now else NEVER,
        one.fingerprint[:16] or NEVER,
        (now.reason if works and now else "") or one.reason,
    )


def explanation_text(found: Explanation) -> str:
    """Why an instance is where it is, and what every worker would say to it."""
    head = f"{cell(found.instance)} is on {cell(found.worker_id)}" if found.worker_id else f"{found.instance}: nowhere"
    parts = ["\n".join((head, *(f"  {cell(reason)}" for reason in found.reasons)))]
    if found.workers:
        rows = [_fit_row(fit) for fit in found.workers]
        parts.append(
            table(("WORKER", "FITS", "SCORE", "LACKS"), rows) + "\nOf those that fit the lowest score is taken."
        )
    if found.more:
        parts.append(f"and {found.more} more workers")
    return "\n\n".join(parts)


def _fit_row(fit: WorkerFit) -> tuple[str, ...]:
    if fit.lacks:
        return fit.worker_id, "no", NEVER, "; ".join(fit.lacks)
    return fit.worker_id, "yes", f"{fit.score:.3f}", ""


def token_table(tokens: Sequence[TokenInfo]) -> str:
    """A line for each token; no secret is in it."""
    if not tokens:
        return "no tokens"
    return table(("TOKEN", "ROLE", "STATE", "EXPIRES", "MADE", "BY"), [_token_row(one) for one in tokens])


def _token_row(one: TokenInfo) -> tuple[str, ...]:
    state = "revoked" if one.revoked else "expired" if one.expired else "live"
    by = "settings" if one.configured else one.created_by
    return one.name, one.role, state, moment(one.expires_at_ms), moment(one.created_at_ms), by


def audit_table(entries: Iterable[AuditEntry]) -> str:
    """A line for each row of the audit."""
    header = ("ROW", "WHEN", "WHO", "FROM", "ACTION", "SUBJECT", "CHANGE", "RESULT")
    return table(header, [_audit_row(one) for one in entries])


def _audit_row(one: AuditEntry) -> tuple[str, ...]:
    change = f"{one.old} -> {one.new}" if one.old and one.old != one.new else one.new
    who = (one.actor, one.peer or NEVER)
    return str(one.sequence), moment(one.at_ms), *who, one.action, one.subject, change, one.result


def audit_verdict_text(verdict: AuditVerdict) -> str:
    """Whether the chain holds, in a line."""
    if verdict.holds:
        return f"the audit holds: {verdict.rows} rows, each chained to the one before"
    return f"the audit is broken at row {verdict.broken_at}: {cell(verdict.reason)}"


def event_line(event: Event) -> str:
    """One event on one line."""
    return cell(f"{moment(event.at_ms)}  {event.kind.value:10}  {event.subject:16}  {event.message}")
