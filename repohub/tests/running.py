"""A whole repohub, a stand-in for CI and one for the control plane, on real sockets, for tests; it asserts nothing."""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from nix.run import Completed, run
from repohub.app import Repohub
from repohub.delivery import Clockwork
from repohub.settings import CiSettings, GitSettings, ListenSettings, Settings, SiteSettings
from repohub.watching import Connect, Pulse
from schema.builds import Build, BuildPage, BuildState, LogPage, PushNotice
from schema.errors import ProcuratorError, Unavailable
from schema.http import serve_http
from schema.interfaces import EventSink, Master
from schema.status import (
    ClusterStatus,
    Convergence,
    Cursor,
    Event,
    EventKind,
)
from schema.tests.rpc.cluster import MemoryMaster

NOW_MS = 1_795_000_000_000
TOKEN = "a-hook-token"


def a_build(build_id: int = 1, **changes: object) -> Build:
    plain: dict[str, object] = {
        "id": build_id,
        "repository": "demo/example",
        "ref": "refs/heads/main",
        "commit": "ab" * 20,
        "subject": "Say hello",
        "author": "Ada",
        "state": BuildState.RUNNING,
        "created_at_ms": NOW_MS - 5000,
    }
    return Build.model_validate(plain | changes)


def a_status(**changes: object) -> ClusterStatus:
    plain: dict[str, object] = {
        "time_ms": NOW_MS,
        "epoch": "e",
        "cluster": "demo",
        "convergence": Convergence.CONVERGED,
        "reason": "every instance is healthy on generation 1",
    }
    return ClusterStatus.model_validate(plain | changes)


@dataclass
class FakeCi:
    """CI as repohub sees it: it takes pushes and shows builds. `answers` are statuses for the next pushes.

    `told` are the deliveries in the order in which they came, whatever was answered.
    """

    notices: list[PushNotice] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    builds: dict[int, Build] = field(default_factory=dict)
    logs: dict[int, str] = field(default_factory=dict)
    pulse: Pulse = field(default_factory=Pulse)
    requests: int = 0
    reads: int = 0
    watched: int = 0

    def show(self, build: Build, *, log: str | None = None) -> None:
        self.builds[build.id] = build
        if log is not None:
            self.logs[build.id] = log
        self.pulse.beat()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/pushes", self._push, methods=["POST"]),
                Route("/v1/builds", self._recent),
                Route("/v1/builds/events", self._events),
                Route("/v1/builds/{id:int}", self._build),
                Route("/v1/builds/{id:int}/log", self._log),
            ]
        )

    async def serve(self, *, port: int = 0, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        await serve_http(self.app(), host="127.0.0.1", port=port, graceful_seconds=0.2, task_status=task_status)

    async def _push(self, request: Request) -> Response:
        self.requests += 1
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return PlainTextResponse("no such token", status_code=401)
        notice = PushNotice.model_validate_json(await request.body())
        self.told.append(notice.delivery)
        if self.answers:
            status, text = self.answers.pop(0)
            if status != 200:
                return PlainTextResponse(text, status_code=status)
        if notice.delivery not in {seen.delivery for seen in self.notices}:
            self.notices.append(notice)
        return JSONResponse({}, status_code=202)

    async def _recent(self, request: Request) -> Response:
        self.reads += 1
        wanted = request.query_params.get("repository")
        before = int(request.query_params.get("before", 2**53))
        found = sorted(
            (b for b in self.builds.values() if wanted in {None, b.repository} and b.id < before), key=lambda b: -b.id
        )
        limit = int(request.query_params["limit"])
        page = BuildPage(builds=tuple(found[:limit]), next_before=found[limit - 1].id if len(found) > limit else None)
        return Response(page.model_dump_json(by_alias=True), media_type="application/json")

    async def _build(self, request: Request) -> Response:
        build = self.builds.get(request.path_params["id"])
        if build is None:
            return JSONResponse({}, status_code=404)
        return Response(build.model_dump_json(by_alias=True), media_type="application/json")

    async def _log(self, request: Request) -> Response:
        build_id, offset = request.path_params["id"], int(request.query_params["offset"])
        log = self.logs.get(build_id, "").encode()
        is_over = build_id in self.builds and self.builds[build_id].state.is_over
        page = LogPage(text=log[offset:].decode(), next_offset=len(log), complete=is_over)
        return Response(page.model_dump_json(by_alias=True), media_type="application/json")

    async def _events(self, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            while True:
                count = self.pulse.count
                for build in self.builds.values():
                    yield f"data: {build.model_dump_json(by_alias=True)}\n\n"
                self.watched += 1
                await self.pulse.after(count)

        return StreamingResponse(events(), media_type="text/event-stream")


@dataclass
class FakeMaster(MemoryMaster):
    """A control plane of which repohub makes two calls. `away` makes it unreachable."""

    status: ClusterStatus = field(default_factory=a_status)
    pulse: Pulse = field(default_factory=Pulse)
    away: bool = False

    def show(self, status: ClusterStatus) -> None:
        self.status = status
        self.pulse.beat()

    async def get_cluster_status(self) -> ClusterStatus:
        return self.status

    async def watch(self, sink: EventSink, cursor: Cursor | None) -> None:
        await sink.resync(self.status, Cursor(epoch="e", sequence=0))
        while True:
            count = self.pulse.count
            await self.pulse.after(count)
            if self.away:
                raise Unavailable("connection lost")
            event = Event(at_ms=NOW_MS, kind=EventKind.VM, subject="web-0", message="changed")
            await sink.event(event, Cursor(epoch="e", sequence=count))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Master]:
        if self.away:
            raise Unavailable("nobody listens")
        yield self


@dataclass
class Running:
    """A repohub that listens at `url`, with its state below `state` and a git for the test's own clones in `work`."""

    url: str
    state: Path
    work: Path
    http: httpx.AsyncClient

    def repository(self, name: str = "demo/example") -> Path:
        return self.state / "repositories" / f"{name}.git"

    def remote(self, name: str = "demo/example") -> str:
        return f"{self.url}/{name}.git"

    async def page_with(self, path: str, text: str) -> str:
        """The page once `text` is in it: what others tell comes by itself, some time later."""
        with trio.fail_after(60):
            while text not in (page := (await self.http.get(path)).text):  # noqa: ASYNC110 - a page is asked
                await trio.sleep(0.05)
        return page

    async def create(self, name: str = "demo/example", **more: str) -> httpx.Response:
        return await self.http.post("/api/repositories", json={"name": name, **more})

    async def git(self, *argv: str, cwd: Path | None = None, check: bool = True) -> Completed:
        return await git(*argv, cwd=cwd or self.work, check=check)

    @asynccontextmanager
    async def live(self, path: str, **headers: str) -> AsyncIterator[trio.MemoryReceiveChannel[dict[str, str]]]:
        """The data of the events of a live page, each with its `event`."""
        send, receive = trio.open_memory_channel[dict[str, str]](100)

        async def read() -> None:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            async with send, self.http.stream("GET", path, headers=named) as answer:
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("text/event-stream")
                event = ""
                async for line in answer.aiter_lines():
                    if line.startswith("event:"):
                        event = line[6:].strip()
                    if line.startswith("data:"):
                        await send.send(json.loads(line[5:]) | {"event": event})

        async with trio.open_nursery() as nursery, receive:
            nursery.start_soon(read)
            yield receive
            nursery.cancel_scope.cancel()

    def outbox(self, name: str = "demo/example") -> list[dict[str, str]]:
        files = sorted((self.repository(name) / "procurator" / "outbox").glob("*.json"))
        return [json.loads(file.read_bytes()) for file in files]


async def git(*argv: str, cwd: Path, check: bool = True, stdin: bytes | None = None, **env: str) -> Completed:
    """The real git as a user has it, with no configuration but this."""
    plain = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "LC_ALL": "C.UTF-8",
    }
    return await run(["git", *argv], deadline=120, env=plain | env, cwd=cwd, check=check, stdin=stdin)


async def commit(running: Running, text: str = "hello", *, file: str = "file", message: str = "a change") -> str:
    """One more commit in the test's work tree, made when missing; its full name."""
    tree = running.work
    if not (tree / ".git").exists():
        await git("init", "-q", "-b", "main", cwd=tree)
    (tree / file).write_text(text)
    await git("add", "-A", cwd=tree)
    await git("commit", "-q", "--allow-empty", "-m", message, cwd=tree)
    return (await git("rev-parse", "HEAD", cwd=tree)).stdout.decode().strip()


def a_token_file(tmp_path: Path, text: str = TOKEN) -> Path:
    file = tmp_path / "hook-token"
    file.write_text(text + "\n")
    file.chmod(0o600)
    return file


def some_settings(tmp_path: Path, *, ci_url: str, max_streams: int = 200, **git_limits: float) -> Settings:
    return Settings(
        state=tmp_path / "state",
        listen=ListenSettings(http="127.0.0.1:0"),
        site=SiteSettings(max_streams=max_streams),
        git=GitSettings.model_validate(git_limits),
        ci=CiSettings(url=ci_url, hook_token_file=a_token_file(tmp_path)),
    )


@asynccontextmanager
async def a_repohub(
    tmp_path: Path,
    *,
    ci_url: str = "http://127.0.0.1:9",
    connect: Connect | None = None,
    now_ns: Callable[[], int] = lambda: NOW_MS * 1_000_000,
    max_streams: int = 200,
    **git_limits: float,
) -> AsyncIterator[Running]:
    """A repohub in this process, stopped at the end."""
    settings = some_settings(tmp_path, ci_url=ci_url, max_streams=max_streams, **git_limits)
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    async with trio.open_nursery() as nursery:
        repohub = Repohub(settings, connect, Clockwork(now_ns=now_ns, new_id=uuid4))
        address = await nursery.start(repohub.serve)
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60, trust_env=False) as client:
            yield Running(url=f"http://{address}", state=settings.state, work=work, http=client)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def a_ci(ci: FakeCi, *, port: int = 0) -> AsyncIterator[str]:
    """The stand-in's address, while it is up."""
    async with trio.open_nursery() as nursery:
        yield f"http://{await nursery.start(partial(ci.serve, port=port))}"
        nursery.cancel_scope.cancel()


async def until(true: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait for something that comes to be true."""
    with trio.move_on_after(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is in files or other processes
            await trio.sleep(0.02)
    if not true():
        raise ProcuratorError(f"not true within {seconds} s")
