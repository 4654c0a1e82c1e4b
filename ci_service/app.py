"""`procurator-ci`: wires store, queue, follower and HTTP together; the one place that owns a clock."""

import logging
import stat
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from ci_service.building import Workshop, WorkshopDeadlines
from ci_service.following import Follower
from ci_service.git import GitFetcher
from ci_service.http import CiHttp
from ci_service.publishing import Publisher
from ci_service.retention import Retention
from ci_service.runner import Runner
from ci_service.settings import Settings
from ci_service.store import BuildStore
from ci_service.updates import Updates
from nix.environment import NixEnvironment
from nix.isolation import probe_isolation
from nix.jail import Jail
from nix.left_behind import end_left_behind
from schema.errors import InvalidInput, NotFound
from schema.http import RequestLimits, serve_http
from schema.interfaces import Master, Role
from schema.names import printable
from schema.rpc.client import open_session
from schema.rpc.transport.sockets import UnixAddress
from schema.service import Ready, service_main
from schema.signing import SecretKey

log = logging.getLogger(__name__)

MAX_NOTICE_BYTES = 64 << 10


def wall_ms() -> int:
    """Unix milliseconds, for what people read."""
    return time.time_ns() // 1_000_000


def read_secret(path: Path, *, what: str) -> str:
    """The text of a secret file. Raises NotFound, and InvalidInput for one that others may read."""
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except FileNotFoundError as error:
        raise NotFound(f"{what}: {path} does not exist") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidInput(f"{what}: others may read {path}; make it 0600")
    if not text:
        raise InvalidInput(f"{what}: {path} is empty")
    return text


async def _workshop(settings: Settings) -> Workshop:
    """The nix side, once it is known what isolation can be had (DESIGN §8)."""
    evaluation = settings.evaluation
    probe_nix = NixEnvironment(settings.state / "nix" / "probe").write()
    found = await probe_isolation(probe_nix)
    warnings: list[str] = []
    if not found.complete:
        if evaluation.require_isolation:
            raise InvalidInput(
                f"evaluation and builds cannot be isolated here: {found.reason}. Set evaluation.require_isolation = "
                "false to go on without; every build then says so"
            )
        warnings.append(f"not isolated: {found.reason}")
    return Workshop(
        state=settings.state,
        jail=Jail(evaluation.allowed_paths, network=evaluation.network) if found.evaluation else None,
        sandbox=found.build,
        cache_url=settings.cache.url,
        upload_token_file=settings.cache.upload_token_file,
        signing_key_file=settings.signing_key_file,
        deadlines=WorkshopDeadlines(
            evaluate=settings.deadlines.evaluate, build=settings.deadlines.build, push=settings.deadlines.push
        ),
        warnings=tuple(warnings),
    )


async def run(settings: Settings, ready: Ready) -> None:
    """Serve until cancelled."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    hook_token = read_secret(settings.repositories.hook_token_file, what="repositories.hook_token_file")
    read_secret(settings.cache.upload_token_file, what="cache.upload_token_file")
    key = SecretKey.parse(read_secret(settings.signing_key_file, what="signing_key_file"))
    store = BuildStore(settings.database_url)
    await store.open()
    updates = Updates()
    address = UnixAddress(settings.control_plane.socket)

    def open_master() -> AbstractAsyncContextManager[Master]:
        return open_session(address, Role.PUBLISHER)

    follower = Follower(store=store, updates=updates, open_master=open_master, now_ms=wall_ms, wake=trio.Event())
    fetcher = GitFetcher(
        directory=settings.state / "repositories",
        base_url=settings.repositories.base_url,
        deadline=settings.deadlines.fetch,
    )
    for command in await trio.to_thread.run_sync(end_left_behind, settings.state):
        log.warning("ended what a CI before this one had started: %s", printable(command))
    fetcher.tidy()
    runner = Runner(
        store=store,
        updates=updates,
        fetcher=fetcher,
        workshop=await _workshop(settings),
        publisher=Publisher(key=key, realm=settings.control_plane.realm),
        open_master=open_master,
        logs=settings.state / "logs",
        now_ms=wall_ms,
        fetch_seconds=settings.deadlines.fetch,
        publish_seconds=settings.deadlines.publish,
        push_seconds=settings.deadlines.push,
        published=follower.nudge,
        wake=trio.Event(),
    )
    http = CiHttp(
        store=store,
        logs=settings.state / "logs",
        updates=updates,
        hook_token=hook_token,
        now_ms=wall_ms,
        accepted=runner.nudge,
    )
    host, _, port = settings.listen.http.rpartition(":")
    async with _closing(store), trio.open_nursery() as nursery:
        bound = await nursery.start(_serve, http, host, int(port))
        nursery.start_soon(runner.run)
        nursery.start_soon(follower.run)
        nursery.start_soon(Retention(store=store, fetcher=fetcher, roots=settings.state / "roots").run)
        ready({"http": bound})


async def _serve(
    http: CiHttp, host: str, port: int, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    def limits(_scope: object) -> RequestLimits:
        return RequestLimits(max_body_bytes=MAX_NOTICE_BYTES)

    await serve_http(http.app(), host=host, port=port, limits_for=limits, task_status=task_status)


@asynccontextmanager
async def _closing(store: BuildStore) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await store.close()


main = service_main("ci", Settings, run)
