"""The routes of pages and their live streams; what pages say is decided in `repohub.pages`."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from repohub.live import EventStream, LogFeed, Parts
from repohub.names import repository_name
from repohub.pages.render import STATIC, Renderer
from repohub.pages.words import plain
from repohub.reading import Reading
from repohub.store import Repository
from schema.builds import LogPage
from schema.errors import InvalidInput, NotFound, ProcuratorError, Unavailable
from schema.http import Receive, Scope, Send

REFRESH_SECONDS = 5
"""How often a page without JavaScript reloads while something on it is at work."""
CALM_REFRESH_SECONDS = 30
LAST_ID = 2**53


@dataclass(frozen=True, slots=True)
class Web:
    """All pages."""

    reading: Reading
    max_streams: int
    renderer: Renderer = field(default_factory=Renderer)
    open_streams: set[object] = field(default_factory=set)

    def routes(self) -> list[BaseRoute]:
        """The routes, in the order in which they are tried."""
        return [
            Route("/", self.index),
            Route("/cluster", self.cluster),
            Route("/healthz", _healthz),
            Route("/live/index", _Live(self.index_live)),
            Route("/live/cluster", _Live(self.cluster_live)),
            Route("/live/{owner}/{name}", _Live(self.repository_live)),
            Route("/live/{owner}/{name}/builds/{build:int}", _Live(self.build_live)),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/{owner}/{name}", self.repository),
            Route("/{owner}/{name}/builds/{build:int}", self.build),
            Route("/{owner}/{name}/builds/{build:int}/log.txt", self.log_text),
        ]

    async def index(self, request: Request) -> Response:
        """`/`: all repositories."""
        del request
        page = await self.reading.index()
        return self._page("index", page=page, section="repositories", live="/live/index")

    async def index_live(self, request: Request) -> EventStream:
        """The same, live."""
        del request

        async def parts() -> tuple[Mapping[str, str], bool]:
            page = await self.reading.index()
            return self._parts(repositories=self.renderer.part("repositories", page=page)), page.is_live

        return self._stream(parts)

    async def cluster(self, request: Request) -> Response:
        """`/cluster`: how the cluster stands."""
        del request
        return self._page("cluster", page=self.reading.cluster_page(), section="cluster", live="/live/cluster")

    async def cluster_live(self, request: Request) -> EventStream:
        """The same, live."""
        del request

        async def parts() -> tuple[Mapping[str, str], bool]:
            page = self.reading.cluster_page()
            return self._parts(cluster=self.renderer.part("cluster", page=page)), False

        return self._stream(parts)

    async def repository(self, request: Request) -> Response:
        """`/owner/name`: its builds."""
        named = _named(request)
        if named.endswith(".git"):
            return RedirectResponse(f"/{repository_name(named.removesuffix('.git'))}", status_code=307)
        repository, before = self._repository(request), _before(request)
        page = await self.reading.repository(repository, before=before)
        live = "" if before else f"/live/{repository.name}"
        return self._page("repository", page=page, section="repositories", live=live)

    async def repository_live(self, request: Request) -> EventStream:
        """The same, live."""
        repository = self._repository(request)

        async def parts() -> tuple[Mapping[str, str], bool]:
            page = await self.reading.repository(repository, before=None)
            return self._parts(builds=self.renderer.part("builds", page=page)), page.is_live

        return self._stream(parts)

    async def build(self, request: Request) -> Response:
        """`/owner/name/builds/id`: its stages and log."""
        name, build_id = self._repository(request).name, _build_id(request)
        page = await self.reading.build(name, build_id)
        # A page that cut a long log short goes on where it ended only if the build does.
        complete = page.log_complete or page.row.is_over
        live = f"/live/{name}/builds/{build_id}?log={-1 if complete else page.log_offset}"
        return self._page("build", page=page, problem="", section="repositories", live=live)

    async def build_live(self, request: Request) -> EventStream:
        """The same, live; `?log=` or Last-Event-ID is the log's offset, -1 when it is complete."""
        name, build_id = self._repository(request).name, _build_id(request)
        offset = _offset(request)

        async def parts() -> tuple[Mapping[str, str], bool]:
            try:
                page = await self.reading.build_alone(name, build_id)
            except (NotFound, Unavailable):
                return self._parts(), True
            return self._parts(build=self.renderer.part("build", page=page, problem="")), not page.row.is_over

        log = None if offset < 0 else LogFeed(partial(self._log_piece, build_id), offset)
        return self._stream(parts, log=log)

    async def log_text(self, request: Request) -> Response:
        """`/owner/name/builds/id/log.txt`: the whole log as far as it is written, without escapes."""
        build_id = _build_id(request)
        await self.reading.build_alone(self._repository(request).name, build_id)

        async def pieces() -> AsyncGenerator[str, None]:
            offset = 0
            while True:
                piece = await self.reading.log(build_id, offset=offset)
                yield plain(piece.text)
                offset = piece.next_offset
                if piece.complete or not piece.text:
                    return

        return StreamingResponse(pieces(), media_type="text/plain")

    def error(self, error: ProcuratorError) -> Response:
        """The page that says what went wrong."""
        match error:
            case NotFound() | InvalidInput():
                status, title, tone = 404, "Not found", "quiet"
            case Unavailable():
                status, title, tone = 503, "Not available now", "warn"
            case _:
                status, title, tone = 502, "This did not work", "bad"
        return self._page(
            "error", status=status, title=title, text=plain(error.message), tone=tone, refresh=5 if status > 500 else 0
        )

    async def _log_piece(self, build_id: int, offset: int) -> LogPage:
        return await self.reading.log(build_id, offset=offset)

    def _page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        page = values.get("page")
        if page is not None and values.get("live"):
            values["refresh"] = REFRESH_SECONDS if page.is_live else CALM_REFRESH_SECONDS
        html = self.renderer.page(template, header=self.reading.header(), **values)
        return HTMLResponse(html, status_code=status, headers={"cache-control": "no-store"})

    def _parts(self, **parts: str) -> dict[str, str]:
        header = self.renderer.part("header", header=self.reading.header())
        return {"part-header": header} | {f"part-{name}": html for name, html in parts.items()}

    def _stream(self, parts: Parts, *, log: LogFeed | None = None) -> EventStream:
        if len(self.open_streams) >= self.max_streams:
            raise Unavailable("too many live pages are open; this one refreshes by itself")
        pulses = (self.reading.builds.pulse, self.reading.cluster.pulse)
        return EventStream(parts, pulses, log, self.open_streams)

    def _repository(self, request: Request) -> Repository:
        return self.reading.store.get(_named(request))


@dataclass(frozen=True, slots=True)
class _Live:
    """An ASGI endpoint that makes an event stream from the request, or answers why not."""

    make: Any

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            stream = await self.make(Request(scope, receive))
        except ProcuratorError as error:
            # 204 tells EventSource to give up, which is right where there is nothing; 503 lets it come back.
            status = 204 if isinstance(error, (NotFound, InvalidInput)) else 503
            await Response(status_code=status)(scope, receive, send)
            return
        await stream(scope, receive, send)


async def _healthz(request: Request) -> Response:
    del request
    return PlainTextResponse("ok\n")


def _named(request: Request) -> str:
    return f"{request.path_params['owner']}/{request.path_params['name']}"


def _build_id(request: Request) -> int:
    number: int = request.path_params["build"]
    if number > LAST_ID:
        raise NotFound("there is no such build")
    return number


def _before(request: Request) -> int | None:
    text = request.query_params.get("before")
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _offset(request: Request) -> int:
    for text in (request.headers.get("last-event-id"), request.query_params.get("log")):
        if text and text.isascii() and text.isdigit() and len(text) < 16:
            return int(text)
    return -1
