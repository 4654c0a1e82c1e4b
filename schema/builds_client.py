"""The httpx client of CI's `/v1/builds`; it caches nothing and decides nothing."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx
import trio
from pydantic import ValidationError

from schema.builds import Build, BuildPage, LogPage
from schema.errors import NotFound, ProcuratorError, Unavailable

log = logging.getLogger(__name__)

EVENTS_SILENCE_SECONDS = 60.0
"""CI says something at least every 15 s; longer silence is a dead connection."""

Page = TypeVar("Page", BuildPage, Build, LogPage)


@dataclass(frozen=True, slots=True)
class BuildsClient:
    """A reader of CI's builds. Every call raises Unavailable when CI cannot be reached and NotFound for no such build.

    `http` has CI's address as its base_url and a deadline of its own.
    """

    http: httpx.AsyncClient

    async def recent(
        self,
        *,
        repository: str | None = None,
        commit: str | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> BuildPage:
        """The newest builds, of one repository or commit where named, with ids below `before`."""
        named = {"repository": repository, "commit": commit, "before": before, "limit": limit}
        text = await self._get("/v1/builds", {key: str(value) for key, value in named.items() if value is not None})
        return _parsed(BuildPage, text)

    async def build(self, build_id: int) -> Build:
        """One build."""
        return _parsed(Build, await self._get(f"/v1/builds/{build_id}", {}))

    async def log(self, build_id: int, *, offset: int = 0) -> LogPage:
        """At most 256 KiB of its log from byte `offset`."""
        return _parsed(LogPage, await self._get(f"/v1/builds/{build_id}/log", {"offset": str(offset)}))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[AsyncIterator[Build]]:
        """`GET /v1/builds/events` (server-sent): every build as it changes; ends when CI goes away.

        The stream is read by a task of its own: cancelling it ends httpx's nested generators, which closing an outer
        one would leave to the garbage collector.
        """
        send, receive = trio.open_memory_channel[Build](64)
        async with trio.open_nursery() as nursery, receive:
            nursery.start_soon(self._read_events, send)
            yield receive
            nursery.cancel_scope.cancel()

    async def _read_events(self, send: trio.MemorySendChannel[Build]) -> None:
        timeout = httpx.Timeout(5, read=EVENTS_SILENCE_SECONDS)
        async with send:
            try:
                async with self.http.stream("GET", "/v1/builds/events", timeout=timeout) as response:
                    async for line in response.aiter_lines():
                        if line.startswith("data:"):
                            await send.send(_parsed(Build, line.removeprefix("data:").strip().encode()))
            except (httpx.HTTPError, ProcuratorError) as error:
                log.debug("the events of CI at %s end: %s", self.http.base_url, error)

    async def _get(self, path: str, params: dict[str, str]) -> bytes:
        try:
            response = await self.http.get(path, params=params)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"CI at {self.http.base_url} cannot be reached: {error or type(error).__name__}"
            ) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"CI has no {path}")
        if response.status_code != httpx.codes.OK:
            raise Unavailable(f"CI answered {response.status_code} to {path}")
        return response.content


def _parsed(model: type[Page], data: bytes) -> Page:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise ProcuratorError(f"CI's answer is not a {model.__name__}: {error.error_count()} wrong fields") from error
