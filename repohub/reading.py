"""Fetches what pages show, from the repositories, CI and the cluster, and hands it to the pages' pure functions.

CI or the control plane being away is part of what a page shows, never an error of the page.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import trio

from repohub.delivery import Delivery
from repohub.pages.build import BuildDetails, build_details
from repohub.pages.cluster import ClusterPage, cluster_page
from repohub.pages.header import Header, header_of
from repohub.pages.index import IndexPage, RepositoryFacts, index_page
from repohub.pages.repository import RepositoryPage, refused_push, repository_page
from repohub.pages.words import one_line
from repohub.store import Repository, RepositoryStore
from repohub.watching import ClusterWatch, Pulse
from schema.builds import Build, BuildPage, LogPage
from schema.builds_client import BuildsClient
from schema.errors import NotFound, ProcuratorError

NEWEST = 100
"""Builds among which the index looks for each repository's newest."""
REMEMBERED_SECONDS = 3.0
"""An answer of CI serves all viewers for so long, unless a build has changed since."""
REMEMBERED = 256
LOG_PIECES = 8
"""Pieces (256 KiB each) of a log that a page shows at most; the text form has all of it."""

T = TypeVar("T")


@dataclass(slots=True)
class BuildsReader:
    """CI's builds, asked for once for all viewers."""

    client: BuildsClient
    pulse: Pulse
    _remembered: OrderedDict[object, tuple[int, float, object]] = field(default_factory=OrderedDict)

    async def recent(self, *, repository: str | None, before: int | None, limit: int) -> BuildPage:
        """As BuildsClient.recent."""
        return await self._once(
            (repository, before, limit),
            lambda: self.client.recent(repository=repository, before=before, limit=limit),
        )

    async def build(self, build_id: int) -> Build:
        """As BuildsClient.build."""
        return await self._once(build_id, lambda: self.client.build(build_id))

    async def _once(self, key: object, ask: Callable[[], Awaitable[T]]) -> T:
        count, at, value = self._remembered.get(key, (-1, 0.0, None))
        if count == self.pulse.count and trio.current_time() - at < REMEMBERED_SECONDS:
            return cast(T, value)
        count = self.pulse.count
        fresh = await ask()
        self._remembered[key] = (count, trio.current_time(), fresh)
        self._remembered.move_to_end(key)
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return fresh


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that pages are made of. `now_ms` is Unix milliseconds; `base_url` gives an address without a slash at
    its end.
    """

    store: RepositoryStore
    delivery: Delivery
    builds: BuildsReader
    cluster: ClusterWatch
    now_ms: Callable[[], int]
    base_url: Callable[[], str]

    def header(self) -> Header:
        """The line at the top."""
        return header_of(self.cluster.status, problem=self.cluster.problem)

    def cluster_page(self) -> ClusterPage:
        """The cluster as last seen."""
        return cluster_page(self.cluster.status, problem=self.cluster.problem, now_ms=self.now_ms())

    async def index(self) -> IndexPage:
        """All repositories."""
        facts = await trio.to_thread.run_sync(self._facts)
        builds, problem = await self._recent(repository=None, before=None, limit=NEWEST)
        return index_page(facts, builds.builds, base_url=self.base_url(), ci_problem=problem, now_ms=self.now_ms())

    async def repository(self, repository: Repository, *, before: int | None) -> RepositoryPage:
        """One repository."""
        name = repository.name
        outbox = self.store.outbox(name)
        waiting = await trio.to_thread.run_sync(outbox.count)
        refused = await trio.to_thread.run_sync(outbox.refused)
        builds, problem = await self._recent(repository=name, before=before, limit=20)
        return repository_page(
            builds,
            name=name,
            default_branch=repository.default_branch,
            base_url=self.base_url(),
            waiting=waiting,
            waiting_reason=self.delivery.problem,
            refused=[refused_push(ref=push.ref, new=push.new, reason=push.reason) for push in refused],
            ci_problem=problem,
            now_ms=self.now_ms(),
        )

    async def build(self, name: str, build_id: int) -> BuildDetails:
        """One build with its log from the beginning. Raises NotFound, Unavailable."""
        build = await self._build_of(name, build_id)
        text, offset, complete = "", 0, False
        for _ in range(LOG_PIECES):
            piece = await self.log(build_id, offset=offset)
            text, offset, complete = text + piece.text, piece.next_offset, piece.complete
            if complete or not piece.text:
                break
        log = LogPage(text=text, next_offset=offset, complete=complete)
        return build_details(build, log, now_ms=self.now_ms())

    async def build_alone(self, name: str, build_id: int) -> BuildDetails:
        """One build without its log. Raises NotFound, Unavailable."""
        build = await self._build_of(name, build_id)
        return build_details(build, LogPage(text="", next_offset=0, complete=True), now_ms=self.now_ms())

    async def log(self, build_id: int, *, offset: int) -> LogPage:
        """A piece of its log; nothing yet for a build that has none. Raises Unavailable."""
        try:
            return await self.builds.client.log(build_id, offset=offset)
        except NotFound:
            return LogPage(text="", next_offset=offset, complete=False)

    async def _build_of(self, name: str, build_id: int) -> Build:
        build = await self.builds.build(build_id)
        if build.repository != name:
            raise NotFound(f"{name} has no build {build_id}")
        return build

    async def _recent(self, *, repository: str | None, before: int | None, limit: int) -> tuple[BuildPage, str]:
        try:
            return await self.builds.recent(repository=repository, before=before, limit=limit), ""
        except ProcuratorError as error:
            problem = f"Builds cannot be shown now: {one_line(error.message, limit=300)}"
            return BuildPage(builds=()), problem

    def _facts(self) -> list[RepositoryFacts]:
        facts = []
        for repository in self.store.all():
            outbox = self.store.outbox(repository.name)
            facts.append(
                RepositoryFacts(
                    name=repository.name,
                    default_branch=repository.default_branch,
                    waiting=outbox.count(),
                    refused=len(outbox.refused()),
                )
            )
        return facts
