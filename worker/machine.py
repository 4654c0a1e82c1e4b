"""What this machine is and how it is doing, from /proc and the state's filesystem; it judges nothing."""

import os
import platform
import shutil
from pathlib import Path

from schema.status import WorkerFacts, WorkerMetrics
from worker.settings import Settings
from worker.user_network import NOT_ENFORCED

_MIB = 1024 * 1024


def cpu_count() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def _meminfo_mb(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) // 1024
    return 0


def _hypervisor(settings: Settings) -> str:
    """Its program's name, and what it does not do."""
    name = Path(settings.hypervisor.command[0]).name
    return f"{name} ({NOT_ENFORCED})" if settings.hypervisor.user_mode_network else name


def facts(settings: Settings, *, version: str) -> WorkerFacts:
    """The machine as it is told at login; configured capacity goes before what is found."""
    return WorkerFacts(
        arch=platform.machine(),
        cpu=settings.capacity.cpu or cpu_count(),
        memory_mb=settings.capacity.memory_mb or _meminfo_mb("MemTotal"),
        disk_mb=shutil.disk_usage(settings.state).total // _MIB,
        address=settings.network.address,
        hypervisor=_hypervisor(settings),
        labels=settings.labels,
        extras=settings.extras,
        version=version,
        location=settings.location,
    )


def metrics(settings: Settings) -> WorkerMetrics:
    """How it is doing now."""
    return WorkerMetrics(
        memory_free_mb=_meminfo_mb("MemAvailable"),
        disk_free_mb=shutil.disk_usage(settings.state).free // _MIB,
        load1=os.getloadavg()[0],
        uptime_ms=int(float(Path("/proc/uptime").read_text().split()[0]) * 1000),
        cpu_pressure=_pressure("cpu"),
        memory_pressure=_pressure("memory"),
        io_pressure=_pressure("io"),
    )


def _pressure(of: str) -> float:
    """Percent of the last 10 s in which something waited for it; 0 where the kernel keeps no such account."""
    try:
        words = Path("/proc/pressure", of).read_text().split()
    except OSError:
        return 0.0
    found = next((word for word in words if word.startswith("avg10=")), "avg10=0")
    return min(100.0, float(found.removeprefix("avg10=")))
