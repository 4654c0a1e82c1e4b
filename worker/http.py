"""The worker's pages: `/ping`, `/metrics`, and its whole status on its unix socket; it changes nothing."""

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schema.status import VmPhase, WorkerReport
from worker.metrics import metrics_text
from worker.vmm.port import Counters


def make_app(
    *,
    report: Callable[[], WorkerReport],
    counters: Callable[[], Awaitable[Mapping[str, Counters]]],
    connected: Callable[[], bool],
    door: Callable[[], Mapping[str, str]],
    whole: bool = False,
) -> Starlette:
    """The ASGI app. `door` is what is told of the way into the control plane.

    `whole`: with `/v1/status`, the report as the control plane gets it; for the unix socket, whose mode says who asks.
    """

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

    async def metrics(_request: Request) -> Response:
        text = metrics_text(report(), await counters(), connected=connected())
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def status(_request: Request) -> Response:
        return Response(report().model_dump_json(by_alias=True), media_type="application/json")

    routes = [Route("/ping", ping), Route("/metrics", metrics)]
    return Starlette(routes=[*routes, Route("/v1/status", status)] if whole else routes)
