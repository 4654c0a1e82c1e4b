"""CI's HTTP face: pushes come in, builds go out; it runs no build."""

import hmac
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ci_service.logs import log_path, read_page
from ci_service.pipeline import PushKind, kind_of
from ci_service.store import BuildStore
from ci_service.updates import Updates
from schema.builds import Build, PushNotice
from schema.canonical import explain_validation
from schema.errors import InvalidInput, NotFound, ProcuratorError, Unauthenticated

MAX_PAGE = 100
MAX_ID = 2**53
KEEP_ALIVE_SECONDS = 15.0
STATUS_BY_CODE = {"invalid-input": 400, "unauthenticated": 401, "not-found": 404, "too-large": 413}


def _json(model: Build, *, status: int = 200) -> Response:
    return Response(model.model_dump_json(by_alias=True), status_code=status, media_type="application/json")


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ProcuratorError):
        raise error
    body = {"error": error.code, "message": error.message}
    return JSONResponse(body, status_code=STATUS_BY_CODE.get(error.code, 503))


class CiHttp:
    """The routes over one store. `now_ms` is the wall clock (Unix milliseconds), `accepted` wakes the queue."""

    def __init__(
        self,
        *,
        store: BuildStore,
        logs: Path,
        updates: Updates,
        hook_token: str,
        now_ms: Callable[[], int],
        accepted: Callable[[], None],
    ) -> None:
        self._store = store
        self._logs = logs
        self._updates = updates
        self._hook_token = hook_token.encode()
        self._now_ms = now_ms
        self._accepted = accepted

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/pushes", self.push, methods=["POST"]),
                Route("/v1/builds", self.builds, methods=["GET"]),
                Route("/v1/builds/events", self.events, methods=["GET"]),
                Route("/v1/builds/{build_id:int}", self.build, methods=["GET"]),
                Route("/v1/builds/{build_id:int}/log", self.log, methods=["GET"]),
                Route("/healthz", self.healthz, methods=["GET"]),
            ],
            exception_handlers={ProcuratorError: _refused},
        )

    async def healthz(self, _request: Request) -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    async def push(self, request: Request) -> Response:
        """A post-receive delivery: 202 with its build once that is on disk, 200 when it is known or builds nothing."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._hook_token):
            raise Unauthenticated("a push notice needs the hook's token as a bearer token")
        try:
            notice = PushNotice.model_validate_json(await request.body())
        except ValidationError as error:
            raise InvalidInput(f"push notice: {explain_validation(error)}") from error
        if kind_of(notice) is PushKind.IGNORED:
            return JSONResponse({"ignored": f"{notice.ref} is not a branch that was pushed to"})
        build, is_new = await self._store.accept(notice, now_ms=self._now_ms())
        if is_new:
            self._updates.publish(build)
            self._accepted()
        return _json(build, status=202 if is_new else 200)

    async def builds(self, request: Request) -> Response:
        """The newest builds; query: repository, commit, before, limit (1 to 100)."""
        page = await self._store.page(
            repository=request.query_params.get("repository"),
            commit=request.query_params.get("commit"),
            before=_number(request, "before", default=None, most=MAX_ID),
            limit=_number(request, "limit", default=20, most=MAX_PAGE) or 1,
        )
        return Response(page.model_dump_json(by_alias=True), media_type="application/json")

    async def build(self, request: Request) -> Response:
        """One build."""
        return _json(await self._store.build(_build_id(request)))

    async def log(self, request: Request) -> Response:
        """A piece of its log from `offset` (bytes)."""
        build = await self._store.build(_build_id(request))
        offset = _number(request, "offset", default=0, most=MAX_ID) or 0
        page = read_page(log_path(self._logs, build.id), offset=offset, over=build.state.is_over)
        return Response(page.model_dump_json(by_alias=True), media_type="application/json")

    async def events(self, _request: Request) -> Response:
        """Server-sent: `data:` is a whole build each time one changes; unfinished ones first."""
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _stream(self) -> AsyncIterator[bytes]:
        with self._updates.subscription() as changes:
            for build in await self._store.unfinished():
                yield _event(build)
            while True:
                with trio.move_on_after(KEEP_ALIVE_SECONDS) as waited:
                    yield _event(await changes.receive())
                if waited.cancelled_caught:
                    yield b": still here\n\n"


def _event(build: Build) -> bytes:
    return f"id: {build.id}\ndata: {build.model_dump_json(by_alias=True)}\n\n".encode()


def _build_id(request: Request) -> int:
    build_id: int = request.path_params["build_id"]
    if build_id > MAX_ID:
        raise NotFound(f"there is no build {build_id}")
    return build_id


def _number(request: Request, name: str, *, default: int | None, most: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:20]) <= most:
        raise InvalidInput(f"{name} is a whole number of 0 to {most}, not {text[:40]!r}")
    return int(text)
