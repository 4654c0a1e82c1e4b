"""One builder per noun: statuses and builds as the control plane and CI would send them."""

from typing import Any

from schema.builds import Build, BuildState
from schema.origin import Origin
from schema.status import (
    ClusterStatus,
    Convergence,
    GenerationStatus,
    RolloutState,
    View,
    VmPhase,
    VmStatus,
    WorkerFacts,
    WorkerState,
    WorkerStatus,
)

COMMIT = "c" * 40
ORIGIN = Origin(repository="demo/example", branch="main")
NOW_MS = 1_790_000_000_000


def a_vm(instance: str = "web-0", **changes: Any) -> VmStatus:
    values: dict[str, Any] = {
        "instance": instance,
        "vm": instance.rpartition("-")[0],
        "generation": 3,
        "content_hash": "a" * 64,
        "worker_id": "worker-0",
        "address": "10.77.0.2/24",
        "phase": VmPhase.HEALTHY,
        "running_generation": 3,
        "healthy": True,
        "host_view": View.OK,
        "running_ms": 200_000,
        "ports": ("http:80",),
    }
    return VmStatus.model_validate(values | changes)


def a_worker(worker_id: str = "worker-0", **changes: Any) -> WorkerStatus:
    values: dict[str, Any] = {
        "worker_id": worker_id,
        "state": WorkerState.READY,
        "subnet": "10.77.0.0/24",
        "facts": WorkerFacts(cpu=4, memory_mb=8192, hypervisor="dev"),
        "cpu_used": 2,
        "memory_used_mb": 256,
        "vms": 2,
        "revision": 5,
        "observed_revision": 5,
        "seen_ms_ago": 1500,
        "connected": True,
    }
    return WorkerStatus.model_validate(values | changes)


def a_generation(
    number: int = 3, state: RolloutState = RolloutState.SUCCEEDED, *, commit: str = COMMIT, reason: str = ""
) -> GenerationStatus:
    return GenerationStatus(
        number=number,
        commit=commit,
        origin=ORIGIN,
        intent_hash="b" * 64,
        published_at_ms=NOW_MS - 60_000,
        state=state,
        reason=reason,
    )


def a_status(
    convergence: Convergence = Convergence.CONVERGED, *generations: GenerationStatus, **changes: Any
) -> ClusterStatus:
    values: dict[str, Any] = {
        "cluster": "example",
        "origin": ORIGIN,
        "time_ms": NOW_MS,
        "epoch": "e" * 32,
        "convergence": convergence,
        "reason": "2 of 2 VMs are healthy on generation 3",
        "generations": generations or (a_generation(),),
        "workers": (a_worker(),),
        "vms": (a_vm("web-1"), a_vm("web-0")),
    }
    return ClusterStatus.model_validate(values | changes)


def a_build(state: BuildState = BuildState.RUNNING, **changes: Any) -> Build:
    values: dict[str, Any] = {
        "id": 7,
        "repository": "demo/example",
        "ref": "refs/heads/main",
        "commit": COMMIT,
        "state": state,
        "created_at_ms": NOW_MS,
    }
    return Build.model_validate(values | changes)
