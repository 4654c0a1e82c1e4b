"""What each part of `pcr tui` shows, from the cluster's status; pure, and it draws nothing.

Every text in it is safe to show: what came from guests, commits or other processes has lost its control characters.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cli.render.operations import event_line, moment
from cli.render.status import GenerationLine, WorkerLine, status_view
from cli.render.text import cell, duration, short
from cli.render.vms import VmLine
from schema.operations import Explanation, RolloutStatus, WorkerFit
from schema.status import ClusterStatus, Event, VmStatus

MOST_ROWS = 1000
"""Rows of a table at most: more is a matter for the filter."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table; `key` stays the same while the line changes."""

    key: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pane:
    """A table. `left_out`: lines that the filter let through and that were too many to show."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Panes:
    """All tables at one moment."""

    vms: Pane
    workers: Pane
    generations: Pane


VM_HEADER = ("VM", "GENERATION", "WORKER", "ADDRESS", "PHASE", "HEALTHY", "UP", "REASON")
WORKER_HEADER = ("WORKER", "STATE", "VMS", "CPU", "MEMORY", "SEEN", "HYPERVISOR")
GENERATION_HEADER = ("GENERATION", "COMMIT", "STATE", "AGE", "REASON")


def panes(status: ClusterStatus, *, wanted: str = "") -> Panes:
    """The tables of `status`, only the lines that hold every word of `wanted`, in any case."""
    view = status_view(status)
    return Panes(
        vms=_pane(VM_HEADER, (_vm_row(line) for line in view.vms), wanted),
        workers=_pane(WORKER_HEADER, (_worker_row(line) for line in view.workers), wanted),
        generations=_pane(GENERATION_HEADER, (_generation_row(line) for line in view.generations), wanted),
    )


def _pane(header: tuple[str, ...], rows: Iterable[Row], wanted: str) -> Pane:
    keep = filter_of(wanted)
    kept = [row for row in rows if keep(" ".join(row.cells))]
    return Pane(header, tuple(kept[:MOST_ROWS]), max(0, len(kept) - MOST_ROWS))


def filter_of(wanted: str) -> Callable[[str], bool]:
    """Whether a line holds every word of `wanted`, in any case."""
    words = wanted.lower().split()
    return lambda line: all(word in line.lower() for word in words)


def _row(key: str, *cells: str) -> Row:
    return Row(key, tuple(map(cell, cells)))


def _vm_row(line: VmLine) -> Row:
    phase = f"{line.phase}, drift" if line.drift else line.phase
    up = duration(line.up_ms) if line.up_ms else "-"
    place = (line.worker or "-", line.address or "-")
    return _row(line.instance, line.instance, line.generations, *place, phase, line.health, up, line.reason)


def _worker_row(line: WorkerLine) -> Row:
    state = line.state if line.connected else f"{line.state}, away"
    memory = f"{line.memory_used_mb}/{line.memory_mb} MiB"
    seen = f"{duration(line.seen_ms_ago)} ago" + (", behind" if line.is_behind else "")
    cpu = f"{line.cpu_used}/{line.cpu}"
    return _row(line.worker, line.worker, state, str(line.vms), cpu, memory, seen, line.hypervisor or "-")


def _generation_row(line: GenerationLine) -> Row:
    return _row(str(line.number), str(line.number), short(line.commit), line.state, duration(line.age_ms), line.reason)


def headline(status: ClusterStatus) -> str:
    """The cluster, its newest generation, the word and its reason: two lines."""
    newest = status.newest
    generation = f"generation {newest.number} ({short(newest.commit)})" if newest else "nothing published yet"
    healthy = sum(vm.healthy for vm in status.vms)
    first = f"{status.cluster or '(no cluster yet)'}  {generation}  {healthy} of {len(status.vms)} VMs healthy"
    reason = f": {status.reason}" if status.reason else ""
    return f"{cell(first)}\n{cell(status.convergence.value + reason)}"


def rollout_lines(rollout: RolloutStatus | None) -> str:
    """The newest rollout in a line, and a line for each of its waves."""
    if rollout is None:
        return "no rollout yet"
    reason = f": {rollout.reason}" if rollout.reason else ""
    lines = [f"rollout of generation {rollout.generation}: {rollout.state.value}{reason}"]
    for wave in rollout.waves:
        waits = f", waits for {wave.waits_for}" if wave.waits_for else ""
        counts = f"{wave.healthy} of {len(wave.instances)} healthy, {wave.failed} failed"
        lines.append(f"  wave {wave.number}: {wave.state.value}, {counts}, gate {wave.gate}{waits}")
    return "\n".join(map(_keeping_indent, lines))


def _keeping_indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + cell(line)


def event_lines(events: Sequence[Event], *, wanted: str = "") -> tuple[str, ...]:
    """A line for each event that the filter lets through."""
    keep = filter_of(wanted)
    return tuple(line for line in map(event_line, events) if keep(line))


def vm_detail(vm: VmStatus, explanation: Explanation | None) -> str:
    """All that is known of an instance."""
    facts = {
        "worker": vm.worker_id or "(nowhere)",
        "why there": vm.placement_reason,
        "wanted": f"generation {vm.generation}, content {vm.content_hash[:16]}",
        "running": f"generation {vm.running_generation}, content {vm.running_content_hash[:16]}",
        "phase": vm.phase.value + (", drift" if vm.drift else ""),
        "healthy": "yes" if vm.healthy else f"no: {vm.reason}",
        "views": f"guest {vm.guest_view}, worker {vm.host_view}, control plane {vm.control_plane_view}",
        "address": vm.address,
        "mac": vm.mac,
        "ports": " ".join(vm.ports),
        "process": f"pid {vm.pid}, up {duration(vm.running_ms)}, {vm.restarts} restarts" if vm.pid else "",
        "phases": ", ".join(f"{phase} {duration(ms)}" for phase, ms in vm.phase_ms.items()),
    }
    lines = _facts(vm.instance, facts)
    if explanation:
        lines += ["", "placement", *(f"  {cell(reason)}" for reason in explanation.reasons)]
        fits = [
            f"  {fit.worker_id}: {'; '.join(fit.lacks) or f'fits, score {fit.score:g}'}" for fit in explanation.workers
        ]
        lines += [_keeping_indent(line) for line in fits]
    return "\n".join(lines)


def _fit(fit: WorkerFit) -> str:
    return "; ".join(fit.lacks) or f"fits, score {fit.score:g}"


def _facts(title: str, rows: Mapping[str, str]) -> list[str]:
    """The title, and below it what is not empty."""
    return [cell(title), *(f"  {name:10} {cell(text)}" for name, text in rows.items() if text)]


def worker_detail(status: ClusterStatus, worker_id: str) -> str:
    """All that is known of a worker, and what is placed on it."""
    found = next((worker for worker in status.workers if worker.worker_id == worker_id), None)
    if found is None:
        return f"{cell(worker_id)} is gone"
    facts, metrics = found.facts, found.metrics
    rows = {
        "state": found.state.value + ("" if found.connected else ", away"),
        "machine": f"{facts.arch}, {facts.cpu} CPUs, {facts.memory_mb} MiB, {facts.hypervisor}",
        "free": f"{metrics.memory_free_mb} MiB memory, {metrics.disk_free_mb} MiB disk, load {metrics.load1:g}",
        "placed": f"{found.vms} VMs, {found.cpu_used} vCPUs, {found.memory_used_mb} MiB",
        "labels": ", ".join(f"{key}={value}" for key, value in facts.labels.items()),
        "subnet": found.subnet,
        "assignment": f"revision {found.revision}, obeys {found.observed_revision}",
        "version": facts.version,
    }
    vms = [vm.instance for vm in status.vms if vm.worker_id == worker_id]
    return "\n".join(_facts(worker_id, rows | {"VMs": ", ".join(vms) or "none"}))


def generation_detail(status: ClusterStatus, number: str) -> str:
    """All that is known of a generation."""
    found = next((one for one in status.generations if str(one.number) == number), None)
    if found is None:
        return f"generation {cell(number)} is gone"
    rows = {
        "commit": found.commit,
        "from": str(found.origin),
        "published": moment(found.published_at_ms),
        "state": found.state.value,
        "reason": found.reason,
        "intent": found.intent_hash,
        "placed in": duration(found.placed_ms) if found.placed_ms else "",
    }
    return "\n".join(
        (f"generation {found.number}", *(f"  {name:10} {cell(text)}" for name, text in rows.items() if text))
    )
