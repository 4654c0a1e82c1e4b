"""The control plane over HTTP: liveness, readiness and the cluster's status as JSON; it changes nothing."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from schema.status import ClusterStatus


def http_app(status: Callable[[], ClusterStatus], *, is_ready: Callable[[], bool]) -> Starlette:
    """The routes. `is_ready`: whether sessions are served."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        ready = is_ready()
        return PlainTextResponse("ready\n" if ready else "starting\n", status_code=200 if ready else 503)

    async def cluster(_request: Request) -> Response:
        return JSONResponse(status().model_dump(mode="json", by_alias=True))

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/v1/status", cluster)],
    )
