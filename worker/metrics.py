"""The worker's numbers for Prometheus: the report's, and each VM's from its hypervisor; it stores nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from schema.status import VmPhase, WorkerReport
from worker.vmm.port import Counters

_MIB = 1024 * 1024
_DISK = {"read_bytes": "read", "write_bytes": "written"}
_NET = {"rx_bytes": "received", "tx_bytes": "sent"}


def metrics_text(report: WorkerReport, counters: Mapping[str, Counters], *, connected: bool) -> bytes:
    """All metrics in Prometheus' text format. `counters` are by instance, of those whose hypervisor answered."""
    registry = CollectorRegistry()
    registry.register(_Collected(report, counters, connected=connected))
    return generate_latest(registry)


class _Collected:
    def __init__(self, report: WorkerReport, counters: Mapping[str, Counters], *, connected: bool) -> None:
        self._report = report
        self._counters = counters
        self._connected = connected

    def collect(self) -> Iterator[Metric]:
        yield from self._machine()
        yield from self._vms()
        yield from self._devices()

    def _machine(self) -> Iterator[Metric]:
        metrics = self._report.metrics
        rows = {
            "connected": (float(self._connected), "Whether the control plane is there."),
            "memory_free_bytes": (metrics.memory_free_mb * _MIB, "Memory that the machine has left."),
            "disk_free_bytes": (metrics.disk_free_mb * _MIB, "Disk that the worker's state has left."),
            "load1": (metrics.load1, "The machine's load average over one minute."),
            "assignment_revision": (self._report.revision, "The revision of the assignment that is obeyed."),
        }
        for name, (value, text) in rows.items():
            yield GaugeMetricFamily(f"procurator_worker_{name}", text, value=value)
        pressure = GaugeMetricFamily(
            "procurator_worker_pressure_ratio", "Share of 10 s in which something waited.", labels=["of"]
        )
        shares = {"cpu": metrics.cpu_pressure, "memory": metrics.memory_pressure, "io": metrics.io_pressure}
        for name, percent in shares.items():
            pressure.add_metric([name], percent / 100)
        yield pressure

    def _vms(self) -> Iterator[Metric]:
        phases = Counter(vm.phase for vm in self._report.running_vms)
        by_phase = GaugeMetricFamily("procurator_worker_vms", "VMs by phase.", labels=["phase"])
        for phase in VmPhase:
            by_phase.add_metric([phase.value], phases[phase])
        yield by_phase
        restarts = CounterMetricFamily("procurator_vm_restarts", "Restarts since assigned.", labels=["instance"])
        running = GaugeMetricFamily("procurator_vm_running_seconds", "Age of its process.", labels=["instance"])
        for vm in self._report.running_vms:
            restarts.add_metric([vm.instance], vm.restarts)
            running.add_metric([vm.instance], vm.running_ms / 1000)
        yield from (restarts, running)

    def _devices(self) -> Iterator[Metric]:
        for what, names in (("disk", _DISK), ("network", _NET)):
            for source, verb in names.items():
                found = CounterMetricFamily(
                    f"procurator_vm_{what}_{verb}_bytes", f"Bytes {verb} by the guest.", labels=["instance", "device"]
                )
                for instance, devices in sorted(self._counters.items()):
                    for device, values in sorted(devices.items()):
                        if source in values:
                            found.add_metric([instance, device], values[source])
                yield found
