"""The control plane over HTTP, which only reads: the routes of the table, the order of the checks, the errors.

Host and origin come first, then the path, then who asks and with which role, then the parameters; what is left is
answered by `answers.py`. It knows no answer itself.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

import trio
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route as Endpoint
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.http.access import check_host
from control_plane.http.answers import ANSWERS, Question
from control_plane.http.asking import identity_of, path_of, query_of
from control_plane.http.glance import Glance
from control_plane.http.openapi import document
from control_plane.http.problems import MEDIA_TYPE, Refused, problem, refusal
from control_plane.http.routes import JSON, ROUTES, STREAM, EventQuery, Route
from control_plane.http.served import Served
from control_plane.http.streams import EventResponse
from schema.errors import ProcuratorError
from schema.interfaces import Identity

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
ROUTE = "procurator.route"
"""Where in a request's scope the name of its route is, for the figures."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose right and parameters were checked."""

    request: Request
    identity: Identity
    question: Question


Reply = Callable[[Asked], Awaitable[ASGIApp]]


def http_app(served: Served) -> ASGIApp:
    """All of `ROUTES`, and nothing else."""
    status = Glance(served.status, seconds=trio.current_time)
    served.metrics.watch(status, lambda: served.audit.audit_head, lambda: served.streams.open)
    app = Starlette(
        routes=[Endpoint(route.path, _endpoint(served, route, status), methods=["GET"]) for route in ROUTES],
        exception_handlers={404: _no_such_path, 405: _no_such_method, Refused: _refused, Exception: _bug},
    )
    app.router.redirect_slashes = False
    return Guarded(app, served)


def _endpoint(served: Served, route: Route, status: Glance) -> Callable[[Request], Awaitable[ASGIApp]]:
    if route.rights is None:
        return _open(served, route)
    reply: Reply = {"metrics": _metrics(served), "events": _events(served)}.get(route.name) or _reads(route)

    async def endpoint(request: Request) -> ASGIApp:
        request.scope[ROUTE] = route.name
        try:
            identity = await identity_of(served, route, request)
            question = Question(
                master=served.sessions.master(identity),
                status=status,
                events=served.events,
                audit=served.audit,
                of=path_of(route, request),
                query=query_of(route, request),
            )
            return await reply(Asked(request, identity, question))
        except ProcuratorError as error:
            raise refusal(error) from error

    return endpoint


def _open(served: Served, route: Route) -> Callable[[Request], Awaitable[Response]]:
    """What anybody may read."""

    async def endpoint(request: Request) -> Response:
        request.scope[ROUTE] = route.name
        query_of(route, request)
        match route.name:
            case "healthz":
                return PlainTextResponse("ok\n")
            case "readyz" if served.is_ready():
                return PlainTextResponse("ready\n")
            case "readyz":
                return PlainTextResponse("starting\n", status_code=503)
        return tagged(request, _openapi(served.version))

    return endpoint


@cache
def _openapi(version: str) -> bytes:
    """Made when it is first asked for: a start of the program does not wait for it."""
    return json.dumps(document(version)).encode()


def _reads(route: Route) -> Reply:
    answer = ANSWERS[route.name]

    async def reply(asked: Asked) -> Response:
        found = await answer(asked.question)
        return tagged(asked.request, found.model_dump_json(by_alias=True).encode())

    return reply


def _metrics(served: Served) -> Reply:
    async def reply(asked: Asked) -> Response:
        text, media_type = served.metrics.text(asked.request.headers.get("accept", ""))
        return Response(text, headers={"content-type": media_type, "cache-control": "no-store"})

    return reply


def _events(served: Served) -> Reply:
    """A stream for who accepts one, else a page."""

    async def reply(asked: Asked) -> ASGIApp:
        if STREAM not in asked.request.headers.get("accept", ""):
            found = await ANSWERS["events"](asked.question)
            return tagged(asked.request, found.model_dump_json(by_alias=True).encode())
        served.streams.check()
        query: EventQuery = asked.question.query
        return EventResponse(
            asked.question.master,
            last_id=asked.request.headers.get("last-event-id") or query.cursor,
            holds=lambda: served.sessions.is_valid(asked.identity),
            streams=served.streams,
            head_only=asked.request.method == "HEAD",
        )

    return reply


def tagged(request: Request, body: bytes) -> Response:
    """JSON with an entity tag; 304 for who has it already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "private, no-cache", "vary": "authorization, accept"}
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=JSON, headers=headers)


def answer_of(refused: Refused) -> Response:
    """The response that tells it."""
    headers = {"cache-control": "no-store", **refused.headers}
    return Response(refused.problem.body, refused.problem.status, headers, media_type=MEDIA_TYPE)


async def _refused(_request: Request, error: Exception) -> Response:
    return answer_of(error) if isinstance(error, Refused) else await _bug(_request, error)


async def _no_such_path(request: Request, _error: Exception) -> Response:
    found = problem("not-found", f"there is no {request.url.path[:200]}", way_out="see /v1/openapi.json")
    return answer_of(Refused(found))


async def _no_such_method(request: Request, _error: Exception) -> Response:
    found = problem("method-not-allowed", f"{request.method[:20]} is not served here")
    return answer_of(Refused(found, allow="GET, HEAD"))


async def _bug(_request: Request, _error: Exception) -> Response:
    return answer_of(Refused(problem("internal", "the answer could not be made")))


class Guarded:
    """Around all routes: the host and the origin are checked, every answer gets its headers and is counted."""

    def __init__(self, app: ASGIApp, served: Served) -> None:
        self._app = app
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def give(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
                self._served.metrics.answered(scope.get(ROUTE, ""), message["status"])
            await send(message)

        try:
            check_host(Headers(scope=scope), self._served.policy)
        except Refused as error:
            await answer_of(error)(scope, receive, give)
            return
        await self._app(scope, receive, give)
