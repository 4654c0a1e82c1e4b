"""The worker's pages for machines: `/ping` and `/metrics`; it serves no person and changes nothing."""

from collections import Counter
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from schema.status import VmPhase, WorkerReport


def metrics_text(report: WorkerReport, *, connected: bool) -> str:
    """The report in Prometheus' text format (version 0.0.4). Instance names are DNS labels: nothing to escape."""
    phases = Counter(vm.phase for vm in report.running_vms)
    lines = [
        "# TYPE procurator_worker_connected gauge",
        f"procurator_worker_connected {int(connected)}",
        "# TYPE procurator_worker_vms gauge",
        *(f'procurator_worker_vms{{phase="{phase.value}"}} {phases[phase]}' for phase in VmPhase),
        "# TYPE procurator_worker_vm_restarts_total counter",
        *(
            f'procurator_worker_vm_restarts_total{{instance="{vm.instance}"}} {vm.restarts}'
            for vm in report.running_vms
        ),
        "# TYPE procurator_worker_memory_free_bytes gauge",
        f"procurator_worker_memory_free_bytes {report.metrics.memory_free_mb * 1024 * 1024}",
        "# TYPE procurator_worker_disk_free_bytes gauge",
        f"procurator_worker_disk_free_bytes {report.metrics.disk_free_mb * 1024 * 1024}",
    ]
    return "\n".join(lines) + "\n"


def make_app(
    *, report: Callable[[], WorkerReport], connected: Callable[[], bool], door: Callable[[], Mapping[str, str]]
) -> Starlette:
    """The ASGI app. `door` is what is told of the way into the control plane."""

    async def ping(_request: Request) -> JSONResponse:
        told = report()
        return JSONResponse(
            {
                "worker": told.worker_id,
                "connected": connected(),
                **door(),
                "revision": told.revision,
                "vms": len(told.running_vms),
                "healthy": sum(vm.phase is VmPhase.HEALTHY for vm in told.running_vms),
            }
        )

    async def metrics(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(metrics_text(report(), connected=connected()), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/ping", ping), Route("/metrics", metrics)])
