"""From a request to a checked question: who asks, with which role, and for what; it answers nothing."""

from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from control_plane.audit import AuditDraft
from control_plane.http.access import ANONYMOUS, anonymous_role, bearer
from control_plane.http.problems import Refused, invalid, refusal
from control_plane.http.routes import Route
from control_plane.http.served import Served
from schema.errors import PermissionDenied, ProcuratorError, Unauthenticated
from schema.interfaces import Identity

M = TypeVar("M", bound=BaseModel)


async def identity_of(served: Served, route: Route, request: Request) -> Identity:
    """Who asks, once it is known that its role may. Raises Refused, and has that audited."""
    peer = request.client.host if request.client else ""
    found = await _credential(served, request, peer)
    if found is None:
        raise await _denied(served, request, Unauthenticated("a token is needed"), actor=ANONYMOUS)
    if found.role not in (route.roles or ()):
        said = (
            f"{route.path} is for {', '.join(sorted(route.roles or ())) or 'nobody'}; {found.subject} is {found.role}"
        )
        raise await _denied(served, request, PermissionDenied(said), actor=found.subject)
    return found


async def _credential(served: Served, request: Request, peer: str) -> Identity | None:
    token = bearer(request.headers)
    if token is None:
        role = anonymous_role(peer, request.headers, served.policy)
        return Identity(ANONYMOUS, role, peer) if role else None
    known = await served.sessions.verify_token(token)
    if known is None:
        error = Unauthenticated("the token is unknown, was revoked or has expired")
        raise await _denied(served, request, error, actor=ANONYMOUS)
    return replace(known, peer=peer)


async def _denied(served: Served, request: Request, error: ProcuratorError, *, actor: str) -> Refused:
    """The refusal to raise, once the audit knows of it."""
    peer = request.client.host if request.client else ""
    await served.audit.record(AuditDraft(actor, f"GET {request.url.path}", peer), refusal=error)
    return refusal(error)


def path_of(route: Route, request: Request) -> BaseModel:
    """What the path names. Raises Refused; a name that cannot exist is told as invalid, not as missing."""
    return _checked(route.of, dict(request.path_params), where="path")


def query_of(route: Route, request: Request) -> BaseModel:
    """The parameters. Raises Refused for an unknown one, one that is given twice, and a wrong value."""
    given = request.query_params.multi_items()
    for name, _ in given:
        if len(request.query_params.getlist(name)) > 1:
            raise invalid(f"query.{name[:100]}", "it is given more than once")
    return _checked(route.query, dict(given), where="query")


def _checked(model: type[M], values: dict[str, str], *, where: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part)[:100] for part in (where, *first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(model.model_json_schema().get("properties", {}))) or "none"
            raise invalid(name, "there is no such parameter", way_out=f"parameters here: {known}") from error
        raise invalid(name, first["msg"]) from error
