"""The front door: checks where a request comes from, sends git's to git and all others to the pages and the API."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from repohub.api import Api, error_json
from repohub.cgi import CgiRequest, cgi_request
from repohub.exchange import refuse
from repohub.git_http import GitHttp
from repohub.names import git_path, repository_name
from repohub.origin import check_host, check_same_site
from repohub.web import Web
from schema.errors import InvalidInput, NotFound, PermissionDenied, ProcuratorError
from schema.http import Message, Receive, RequestLimits, Scope, Send

SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
SMALL_BODY = 64 * 1024


def limits_for(scope: Scope) -> RequestLimits:
    """Git requests limit themselves; everything else is small and quick."""
    if git_path(scope["path"]) is not None:
        return RequestLimits(max_body_bytes=None, start_seconds=None)
    return RequestLimits(max_body_bytes=SMALL_BODY)


def pages_app(web: Web, api: Api) -> Starlette:
    """Pages and API as one application, with errors as pages, or as JSON below /api."""

    async def expected(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            kind = NotFound if error.status_code == 404 else InvalidInput
            error = kind("there is nothing at this address" if kind is NotFound else error.detail)
        if not isinstance(error, ProcuratorError):
            raise error
        return error_json(error) if request.url.path.startswith("/api/") else web.error(error)

    handlers = {ProcuratorError: expected, HTTPException: expected}
    return Starlette(routes=[*api.routes(), *web.routes()], exception_handlers=handlers)


@dataclass(frozen=True, slots=True)
class Front:
    """The ASGI application of repohub."""

    git: GitHttp
    pages: Starlette
    allowed_hosts: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.pages(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            check_host(headers.get("host", ""), allowed=self.allowed_hosts)
            request = self._git_request(scope, headers)
        except PermissionDenied as error:
            await refuse(receive, send, text=error.message, status=403)
        except NotFound as error:
            await refuse(receive, send, text=error.message, status=404)
        except InvalidInput as error:
            await refuse(receive, send, text=error.message, status=400)
        else:
            if request is None:
                await self.pages(scope, receive, _with_security_headers(send))
            else:
                await self.git.serve(request, receive, send)

    def _git_request(self, scope: Scope, headers: Mapping[str, str]) -> CgiRequest | None:
        target = git_path(scope["path"])
        if target is None:
            return None
        request = cgi_request(
            repository=repository_name(target.repository),
            service=target.service,
            method=scope["method"],
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            client=(scope.get("client") or ("",))[0],
        )
        self.git.store.get(request.repository)
        if request.is_push:
            check_same_site(headers, content_type="application/x-git-receive-pack-request")
        return request


def _with_security_headers(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-cache"))
            message["headers"] = [*headers, *SECURITY_HEADERS]
        await send(message)

    return secured
