"""The page of the cluster: its word and reason, generations, VMs and workers; it fetches nothing."""

from dataclasses import dataclass

from repohub.pages import tone, words
from repohub.pages.tone import Tone
from schema.status import ClusterStatus, Convergence, GenerationStatus, View, VmStatus, WorkerStatus


@dataclass(frozen=True, slots=True)
class Observed:
    """What one observer thinks of a VM."""

    who: str
    word: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class VmRow:
    """One instance."""

    instance: str
    word: str
    tone: Tone
    reason: str
    generation: int
    drift: bool
    worker: str
    placement_reason: str
    address: str
    ports: str
    uptime: str
    restarts: int
    views: tuple[Observed, ...]
    phases: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One machine; figures of memory are MiB."""

    name: str
    word: str
    tone: Tone
    seen: str
    vms: str
    cpu_used: int
    cpu: int
    memory_used_mb: int
    memory_mb: int
    memory: str
    hypervisor: str
    subnet: str


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One generation and what became of it."""

    number: int
    commit: str
    origin: str
    word: str
    tone: Tone
    reason: str
    when: str
    when_exact: str


@dataclass(frozen=True, slots=True)
class ClusterPage:
    """What the page shows; everything but `problem` is as last seen when there is a problem."""

    problem: str
    is_known: bool
    name: str = ""
    word: str = ""
    tone: Tone = Tone.QUIET
    reason: str = ""
    healthy: str = ""
    newest: GenerationRow | None = None
    vms: tuple[VmRow, ...] = ()
    workers: tuple[WorkerRow, ...] = ()
    generations: tuple[GenerationRow, ...] = ()
    is_live: bool = True


GENERATIONS_SHOWN = 5


def cluster_page(status: ClusterStatus | None, *, problem: str, now_ms: int) -> ClusterPage:
    """The cluster in words, or why it cannot be seen."""
    if status is None:
        return ClusterPage(problem=problem, is_known=False)
    generations = tuple(_generation(generation, now_ms) for generation in status.generations[:GENERATIONS_SHOWN])
    healthy = sum(vm.healthy for vm in status.vms)
    return ClusterPage(
        problem=problem,
        is_known=True,
        name=words.one_line(status.cluster) or "no cluster yet",
        word=status.convergence.value,
        tone=tone.CONVERGENCE[status.convergence],
        reason=words.one_line(status.reason, limit=400),
        healthy=f"{healthy} of {words.plural(len(status.vms), 'VM')} healthy",
        newest=generations[0] if generations else None,
        vms=tuple(_vm(vm) for vm in status.vms),
        workers=tuple(_worker(worker) for worker in status.workers),
        generations=generations,
        is_live=status.convergence is Convergence.PROGRESSING or bool(problem),
    )


def _generation(generation: GenerationStatus, now_ms: int) -> GenerationRow:
    return GenerationRow(
        number=generation.number,
        commit=words.plain(generation.commit)[:10],
        origin=words.one_line(str(generation.origin)),
        word=generation.state.value.replace("-", " "),
        tone=tone.ROLLOUT[generation.state],
        reason=words.one_line(generation.reason, limit=300),
        when=words.ago(now_ms - generation.published_at_ms),
        when_exact=words.moment(generation.published_at_ms),
    )


def _vm(vm: VmStatus) -> VmRow:
    views = (("guest", vm.guest_view), ("worker", vm.host_view), ("control plane", vm.control_plane_view))
    return VmRow(
        instance=words.one_line(vm.instance),
        word=vm.phase.value if vm.worker_id else "not placed",
        tone=tone.PHASE[vm.phase] if vm.worker_id else Tone.WARN,
        reason=words.one_line(vm.reason, limit=300),
        generation=vm.running_generation or vm.generation,
        drift=vm.drift,
        worker=words.one_line(vm.worker_id),
        placement_reason=words.one_line(vm.placement_reason, limit=300),
        address=words.one_line(vm.address),
        ports=", ".join(words.one_line(port) for port in vm.ports),
        uptime=words.duration(vm.running_ms) if vm.running_ms else "",
        restarts=vm.restarts,
        views=tuple(
            Observed(who=who, word=view.value, tone=tone.VIEW[view]) for who, view in views if view is not View.UNKNOWN
        ),
        phases=" · ".join(f"{words.one_line(name)} {words.duration(ms)}" for name, ms in vm.phase_ms.items()),
    )


def _worker(worker: WorkerStatus) -> WorkerRow:
    facts = worker.facts
    return WorkerRow(
        name=words.one_line(worker.worker_id),
        word=worker.state.value,
        tone=tone.WORKER[worker.state],
        seen=f"seen {words.ago(worker.seen_ms_ago)}",
        vms=words.plural(worker.vms, "VM"),
        cpu_used=worker.cpu_used,
        cpu=facts.cpu,
        memory_used_mb=worker.memory_used_mb,
        memory_mb=facts.memory_mb,
        memory=f"{words.mebibytes(worker.memory_used_mb)} of {words.mebibytes(facts.memory_mb)}",
        hypervisor=words.one_line(facts.hypervisor),
        subnet=words.one_line(worker.subnet),
    )
