"""Ask the control plane and CI until a rollout is over; what over means is `cli.waiting`. It prints nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import trio

from cli.session import control_plane
from cli.settings import Target
from cli.waiting import Verdict, Waiting, commit_verdict, newest_verdict
from schema.builds import Build
from schema.builds_client import BuildsClient
from schema.errors import ProcuratorError
from schema.interfaces import Role
from schema.rpc.client import RemoteMaster
from schema.status import ClusterStatus

POLL_SECONDS = 0.25
RETRY_SECONDS = 1.0
_PREFIX_SEARCH = 100


async def wait_until_over(
    target: Target, *, commit: str | None, timeout: float, on_stage: Callable[[str], None]
) -> Verdict | None:
    """The verdict, or None after `timeout` seconds.

    Services that cannot be reached are asked again: they may be starting. `on_stage` hears each change. Raises what
    asking again will not cure (a refused login, a malformed address).
    """
    watch = _Watch(target, commit, on_stage)
    with trio.move_on_after(timeout):
        async with _builds(target) as builds:
            return await watch.until_over(builds)
    return None


@asynccontextmanager
async def _builds(target: Target) -> AsyncIterator[BuildsClient]:
    async with httpx.AsyncClient(base_url=target.ci_url, timeout=10, trust_env=False) as http:
        yield BuildsClient(http)


@dataclass(slots=True)
class _Watch:
    target: Target
    commit: str | None
    on_stage: Callable[[str], None]
    _build: Build | None = None
    _told: str = ""

    async def until_over(self, builds: BuildsClient) -> Verdict:
        while True:
            try:
                async with control_plane(self.target, Role.VIEWER) as master:
                    return await self._while_connected(builds, master)
            except ProcuratorError as error:
                if not error.transient:
                    raise
                self._tell(error.message)
            if self.commit is not None and isinstance(found := await self._look(builds, status=None), Verdict):
                return found  # a build that failed needs no control plane
            await trio.sleep(RETRY_SECONDS)

    async def _while_connected(self, builds: BuildsClient, master: RemoteMaster) -> Verdict:
        while True:
            found = await self._look(builds, status=await master.get_cluster_status())
            if isinstance(found, Verdict):
                return found
            self._tell(found.stage)
            await trio.sleep(POLL_SECONDS)

    async def _look(self, builds: BuildsClient, *, status: ClusterStatus | None) -> Verdict | Waiting:
        if self.commit is None:
            return newest_verdict(status)
        await self._look_at_build(builds, self.commit)
        return commit_verdict(self.commit, build=self._build, status=status)

    async def _look_at_build(self, builds: BuildsClient, commit: str) -> None:
        if self._build is not None and self._build.state.is_over:
            return
        try:
            if self._build is not None:
                self._build = await builds.build(self._build.id)
            else:
                self._build = await _build_of(commit, builds)
        except ProcuratorError as error:
            if not error.transient:
                raise
            self._tell(error.message)

    def _tell(self, stage: str) -> None:
        if stage != self._told:
            self._told = stage
            self.on_stage(stage)


async def _build_of(commit: str, builds: BuildsClient) -> Build | None:
    """The newest build of a commit; CI finds whole names, a prefix is looked for among its newest."""
    if len(commit) in (40, 64):
        page = await builds.recent(commit=commit, limit=1)
    else:
        page = await builds.recent(limit=_PREFIX_SEARCH)
    return next((build for build in page.builds if build.commit.startswith(commit)), None)
