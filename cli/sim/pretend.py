"""A worker that runs nothing: it does as its assignment says on paper, and reports so; it talks to nobody.

It believes what it is told: that workers check signatures is tested where workers are.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

from cli.sim.options import VM_MEMORY_MB
from schema.assignment import Seen, SignedAssignment
from schema.canonical import Sealed
from schema.interfaces import WorkerHello
from schema.status import RunningVm, VmPhase, WorkerFacts, WorkerMetrics, WorkerReport
from schema.vmspec import VmSpec


@lru_cache(maxsize=10_000)
def _hashes(spec: str) -> tuple[str, str]:
    """The contentHash and the SHA-256 of a VmSpec's text."""
    sealed = Sealed.parse(VmSpec, spec.encode())
    return sealed.value.content_hash, sealed.sha256


@dataclass(slots=True)
class PretendVm:
    """A VM that would be running; `ready_ms` is when it gets healthy."""

    generation: int
    content_hash: str
    spec_hash: str
    address: str
    ready_ms: int
    phase: VmPhase = VmPhase.BOOTING


class PretendWorker:
    """All that one worker knows. Moments are milliseconds of the caller's clock."""

    def __init__(self, worker_id: str, *, room: int, boot_ms: int) -> None:
        self.worker_id = worker_id
        self.seen: Seen | None = None
        self.generation = 0
        """The highest that its assignment names."""
        self._room = room
        self._boot_ms = boot_ms
        self._vms: dict[str, PretendVm] = {}

    def hello(self) -> WorkerHello:
        """A machine on which exactly its share of the fleet has room."""
        facts = WorkerFacts(
            cpu=self._room,
            memory_mb=self._room * VM_MEMORY_MB,
            disk_mb=1_000_000,
            hypervisor="pretended",
            labels={"zone": "simulated"},
            address="192.0.2.1",
        )
        return WorkerHello(self.worker_id, facts)

    def obey(self, signed: SignedAssignment, *, now_ms: int) -> None:
        """Take up an assignment: equal content stays, the rest boots."""
        told = json.loads(signed.data)
        self.seen = Seen(told["epoch"], told["revision"])
        before, self._vms = self._vms, {}
        for entry in told["entries"]:
            content, sha256 = _hashes(entry["spec"])
            vm = before.get(entry["instance"])
            if vm is None or vm.content_hash != content:
                vm = PretendVm(entry["generation"], content, sha256, entry["address"], now_ms + self._boot_ms)
            vm.generation, vm.spec_hash = entry["generation"], sha256
            self._vms[entry["instance"]] = vm
        self.generation = max((vm.generation for vm in self._vms.values()), default=0)

    def look(self, *, now_ms: int) -> int | None:
        """Let time do its work; in how many milliseconds it will have done more, None for never."""
        waiting = []
        for vm in self._vms.values():
            if vm.phase is VmPhase.BOOTING and vm.ready_ms <= now_ms:
                vm.phase = VmPhase.HEALTHY
            elif vm.phase is VmPhase.BOOTING:
                waiting.append(vm.ready_ms - now_ms)
        return min(waiting, default=None)

    def report(self, *, now_ms: int) -> WorkerReport:
        """What a worker in its place would say."""
        return WorkerReport(
            worker_id=self.worker_id,
            observed_generation=self.generation,
            epoch=self.seen.epoch if self.seen else "",
            revision=self.seen.revision if self.seen else 0,
            running_vms=tuple(
                RunningVm(
                    instance=instance,
                    generation=vm.generation,
                    content_hash=vm.content_hash,
                    spec_hash=vm.spec_hash,
                    phase=vm.phase,
                    address=vm.address.partition("/")[0],
                    pid=4711,
                    running_ms=max(now_ms - vm.ready_ms, 0),
                    healthy_ms=max(now_ms - vm.ready_ms, 0),
                    phase_ms={"booting": self._boot_ms, "preparing": 40, "pulling": 120},
                )
                for instance, vm in self._vms.items()
            ),
            metrics=WorkerMetrics(memory_free_mb=1000, disk_free_mb=900_000, load1=0.5, uptime_ms=now_ms),
        )
