"""The cluster at a glance: the view of `pcr status`, as a table or JSON."""

from dataclasses import dataclass

from cli.render.text import cell, duration, share, short, table
from cli.render.vms import VmLine, vm_lines, vm_table
from schema.status import ClusterStatus, GenerationStatus, WorkerStatus

_SHOWN_GENERATIONS = 5


@dataclass(frozen=True, slots=True)
class GenerationLine:
    """A generation and how its rollout went. `age_ms` is since it was published, in milliseconds."""

    number: int
    commit: str
    state: str
    reason: str
    age_ms: int


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A machine. Memory is MiB; `seen_ms_ago` is since its last report, in milliseconds."""

    worker: str
    state: str
    connected: bool
    vms: int
    cpu_used: int
    cpu: int
    memory_used_mb: int
    memory_mb: int
    subnet: str
    hypervisor: str
    seen_ms_ago: int
    is_behind: bool


@dataclass(frozen=True, slots=True)
class StatusView:
    """What `pcr status` shows."""

    realm: str
    cluster: str
    origin: str
    convergence: str
    reason: str
    generations: tuple[GenerationLine, ...]
    workers: tuple[WorkerLine, ...]
    vms: tuple[VmLine, ...]


def status_view(status: ClusterStatus) -> StatusView:
    """Everything that is shown of `status`."""
    return StatusView(
        realm=status.realm,
        cluster=status.cluster,
        origin=str(status.origin) if status.origin else "",
        convergence=status.convergence.value,
        reason=status.reason,
        generations=tuple(_generation(known, now_ms=status.time_ms) for known in status.generations),
        workers=tuple(_worker(worker) for worker in sorted(status.workers, key=lambda worker: worker.worker_id)),
        vms=vm_lines(status),
    )


def status_table(status: ClusterStatus) -> str:
    """`status` for a terminal."""
    return view_table(status_view(status))


def view_table(view: StatusView) -> str:
    """The view for a terminal: the verdict, then generations, VMs and workers."""
    reason = f": {cell(view.reason)}" if view.reason else ""
    head = [f"{cell(view.cluster) or '(no cluster yet)'}  {view.convergence}{reason}"]
    if view.origin:
        head.append(f"from {cell(view.origin)}")
    parts = ["\n".join(head)]
    if view.generations:
        parts.append(_generation_table(view.generations[:_SHOWN_GENERATIONS]))
    if view.vms:
        parts.append(vm_table(view.vms, wide=False))
    parts.append(_worker_table(view.workers) if view.workers else "no workers")
    return "\n\n".join(parts)


def _generation_table(generations: tuple[GenerationLine, ...]) -> str:
    rows = [
        (str(known.number), short(known.commit), known.state, duration(known.age_ms), known.reason)
        for known in generations
    ]
    return table(("GENERATION", "COMMIT", "STATE", "AGE", "REASON" if any(row[4] for row in rows) else ""), rows)


def _worker_table(workers: tuple[WorkerLine, ...]) -> str:
    rows = [
        (
            worker.worker,
            worker.state if worker.connected else f"{worker.state}, away",
            str(worker.vms),
            share(worker.cpu_used, worker.cpu),
            share(worker.memory_used_mb, worker.memory_mb, " MiB"),
            worker.subnet or "-",
            worker.hypervisor or "-",
            f"{duration(worker.seen_ms_ago)} ago" + (", behind" if worker.is_behind else ""),
        )
        for worker in workers
    ]
    return table(("WORKER", "STATE", "VMS", "CPU", "MEMORY", "SUBNET", "HYPERVISOR", "SEEN"), rows)


def _generation(known: GenerationStatus, *, now_ms: int) -> GenerationLine:
    return GenerationLine(
        number=known.number,
        commit=known.commit,
        state=known.state.value,
        reason=known.reason,
        age_ms=max(0, now_ms - known.published_at_ms),
    )


def _worker(worker: WorkerStatus) -> WorkerLine:
    return WorkerLine(
        worker=worker.worker_id,
        state=worker.state.value,
        connected=worker.connected,
        vms=worker.vms,
        cpu_used=worker.cpu_used,
        cpu=worker.facts.cpu,
        memory_used_mb=worker.memory_used_mb,
        memory_mb=worker.facts.memory_mb,
        subnet=worker.subnet,
        hypervisor=worker.facts.hypervisor,
        seen_ms_ago=worker.seen_ms_ago,
        is_behind=worker.observed_revision < worker.revision,
    )
