"""The program `procurator-repohub`: wires the parts together and owns the clock; it decides nothing."""

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import httpx
import trio

from repohub.activity import Activity
from repohub.api import Api
from repohub.cgi import GitLimits
from repohub.ci import CiHook
from repohub.connecting import connect_to
from repohub.delivery import Clockwork, Delivery
from repohub.front import Front, limits_for, pages_app
from repohub.git_http import Deadlines, GitHttp
from repohub.reading import BuildsReader, Reading
from repohub.settings import Settings
from repohub.store import RepositoryStore
from repohub.upkeep import Upkeep
from repohub.watching import BuildsWatch, ClusterWatch, Connect, Pulse
from repohub.web import Web
from schema.builds_client import BuildsClient
from schema.http import serve_http
from schema.service import Ready, service_main

log = logging.getLogger(__name__)

CI_SECONDS = 5.0
"""Deadline of one read from CI."""


@dataclass(slots=True)
class _Address:
    """Where people reach us: as configured, else where we turned out to listen."""

    text: str = ""

    def __call__(self) -> str:
        return self.text


@dataclass(slots=True)
class Repohub:
    """All parts of one running repohub."""

    settings: Settings
    connect: Connect | None
    clockwork: Clockwork
    address: _Address = field(default_factory=_Address)

    async def serve(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; `task_status` gets `host:port` once it listens. Raises Unavailable, PermissionDenied."""
        settings = self.settings
        store = RepositoryStore(
            directory=settings.state.absolute(),
            limits=GitLimits(max_push_bytes=settings.git.max_push_mb * 1024 * 1024),
        )
        await trio.to_thread.run_sync(store.tidy)
        async with httpx.AsyncClient(base_url=settings.ci.url, timeout=CI_SECONDS, trust_env=False) as ci:
            activity = Activity()
            upkeep = Upkeep(store)
            delivery = Delivery(store, activity, CiHook(ci, settings.ci.hook_token_file), self.clockwork)
            builds = BuildsReader(BuildsClient(ci), Pulse())
            cluster = ClusterWatch(self.connect, Pulse())
            reading = Reading(store, delivery, builds, cluster, self._now_ms, self.address)
            front = Front(
                git=self._git(store, activity, delivery, upkeep),
                pages=pages_app(
                    Web(reading, max_streams=settings.site.max_streams),
                    Api(store, self.address, lambda: self.clockwork.new_id().hex),
                ),
                allowed_hosts=settings.allowed_hosts,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(delivery.run)
                nursery.start_soon(upkeep.run)
                nursery.start_soon(BuildsWatch(builds.client, builds.pulse).run)
                nursery.start_soon(cluster.run)
                listen = settings.listen
                serve = partial(serve_http, front, host=listen.host, port=listen.port, limits_for=limits_for)
                listening = await nursery.start(serve)
                self.address.text = (settings.site.base_url or f"http://{listening}").rstrip("/")
                task_status.started(listening)

    def _git(self, store: RepositoryStore, activity: Activity, delivery: Delivery, upkeep: Upkeep) -> GitHttp:
        def pushed(repository: str) -> None:
            delivery.wake(repository)
            upkeep.wake(repository)

        return GitHttp(
            store=store,
            activity=activity,
            deadlines=Deadlines(request=self.settings.git.request_seconds, idle=self.settings.git.idle_seconds),
            processes=trio.CapacityLimiter(self.settings.git.max_requests),
            pushed=pushed,
            page_of=lambda repository: f"{self.address()}/{repository}",
        )

    def _now_ms(self) -> int:
        return self.clockwork.now_ns() // 1_000_000


async def run(settings: Settings, ready: Ready) -> None:
    """The service: runs until cancelled."""
    clockwork = Clockwork(now_ns=time.time_ns, new_id=uuid.uuid4)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(Repohub(settings, connect_to(settings.control_plane), clockwork).serve)
        addresses: Mapping[str, str] = {"http": address}
        ready(addresses)


main = service_main("repohub", Settings, run)

if __name__ == "__main__":
    main()
