"""`/api/repositories`: make and list repositories, as JSON; who may is not its matter yet (see docs/decisions)."""

from collections.abc import Callable
from dataclasses import dataclass

import trio
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from repohub.origin import check_same_site
from repohub.store import Repository, RepositoryStore
from schema.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ProcuratorError,
    TooLarge,
    Unavailable,
)
from schema.names import StrictModel

_STATUS: dict[type[ProcuratorError], int] = {
    InvalidInput: 400,
    PermissionDenied: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    Unavailable: 503,
}


class NewRepository(StrictModel):
    """`POST /api/repositories`."""

    name: str
    default_branch: str = "main"


def error_json(error: ProcuratorError) -> Response:
    """An error as `{"error": {"code", "message"}}` with the status of its kind."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": {"code": error.code, "message": error.message}}, status_code=status)


@dataclass(frozen=True, slots=True)
class Api:
    """The API. `new_word` gives a unique word for each call."""

    store: RepositoryStore
    base_url: Callable[[], str]
    new_word: Callable[[], str]

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/repositories", self.create, methods=["POST"]),
            Route("/api/repositories", self.all, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """201 for a new repository, 200 for one that is there as asked, 409 for one that differs."""
        try:
            check_same_site(request.headers, content_type="application/json")
            wanted = NewRepository.model_validate_json(await request.body())
            repository, is_new = await self.store.create(
                wanted.name, default_branch=wanted.default_branch, staging=self.new_word()
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            return error_json(InvalidInput(f"{where}: {first['msg']}"))
        except ProcuratorError as error:
            return error_json(error)
        return JSONResponse(self._shown(repository), status_code=201 if is_new else 200)

    async def all(self, request: Request) -> Response:
        """Every repository, by name."""
        del request
        repositories = await trio.to_thread.run_sync(self.store.all)
        return JSONResponse({"repositories": [self._shown(repository) for repository in repositories]})

    def _shown(self, repository: Repository) -> dict[str, str]:
        return {
            "name": repository.name,
            "defaultBranch": repository.default_branch,
            "cloneUrl": f"{self.base_url()}/{repository.name}.git",
            "pageUrl": f"{self.base_url()}/{repository.name}",
        }
