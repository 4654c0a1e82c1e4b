"""One line for each instance: the view of `pcr vm ls`, and a part of `pcr status`."""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.render.text import duration, table
from schema.status import ClusterStatus, View, VmStatus


@dataclass(frozen=True, slots=True)
class VmLine:
    """An instance as people see it. `up_ms` is how long its process has run, in milliseconds; 0: it does not."""

    instance: str
    vm: str
    generation: int
    running_generation: int
    worker: str
    address: str
    ports: tuple[str, ...]
    phase: str
    healthy: bool
    guest_view: str
    host_view: str
    control_plane_view: str
    drift: bool
    up_ms: int
    restarts: int
    reason: str

    @property
    def health(self) -> str:
        """`yes`, or `no` with who says so where somebody does."""
        if self.healthy:
            return "yes"
        views = {"guest": self.guest_view, "host": self.host_view, "control plane": self.control_plane_view}
        against = [name for name, view in views.items() if view == View.FAILING]
        return f"no ({', '.join(against)})" if against else "no"

    @property
    def generations(self) -> str:
        """The wanted generation, and what runs instead where it is another."""
        if self.running_generation in (0, self.generation):
            return str(self.generation)
        return f"{self.generation} (runs {self.running_generation})"


def vm_lines(status: ClusterStatus) -> tuple[VmLine, ...]:
    """Every instance, by name and number."""
    return tuple(_line(vm) for vm in sorted(status.vms, key=_by_number))


def vm_table(found: Sequence[VmLine], *, wide: bool) -> str:
    """The lines as a table; `wide` adds ports and restarts."""
    if not found:
        return "no VMs"
    header = ["VM", "GENERATION", "WORKER", "ADDRESS", "PHASE", "HEALTHY", "UP"]
    rows = [_row(line) for line in found]
    if wide:
        header += ["PORTS", "RESTARTS"]
        rows = [[*row, " ".join(line.ports), str(line.restarts)] for row, line in zip(rows, found, strict=True)]
    if any(line.reason for line in found):
        header.append("REASON")
        rows = [[*row, line.reason] for row, line in zip(rows, found, strict=True)]
    return table(header, rows)


def _row(line: VmLine) -> list[str]:
    phase = f"{line.phase}, drift" if line.drift else line.phase
    up = duration(line.up_ms) if line.up_ms else "-"
    return [line.instance, line.generations, line.worker or "-", line.address or "-", phase, line.health, up]


def _by_number(vm: VmStatus) -> tuple[str, int]:
    name, _, number = vm.instance.rpartition("-")
    return name, int(number) if number.isascii() and number.isdigit() else 0


def _line(vm: VmStatus) -> VmLine:
    return VmLine(
        instance=vm.instance,
        vm=vm.vm,
        generation=vm.generation,
        running_generation=vm.running_generation,
        worker=vm.worker_id,
        address=vm.address.partition("/")[0],
        ports=vm.ports,
        phase=vm.phase.value,
        healthy=vm.healthy,
        guest_view=vm.guest_view.value,
        host_view=vm.host_view.value,
        control_plane_view=vm.control_plane_view.value,
        drift=vm.drift,
        up_ms=vm.running_ms,
        restarts=vm.restarts,
        reason=vm.reason or ("" if vm.worker_id else vm.placement_reason),
    )
