"""A control plane and a CI in memory, served over a real unix socket and real HTTP; and `pcr` as a program."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nix.run import Completed, run
from schema.builds import Build, BuildPage
from schema.errors import NotFound
from schema.http import serve_http
from schema.interfaces import Identity, LogSink, Role, Vm
from schema.rpc.server import serve_control_plane
from schema.rpc.transport.sockets import UnixAddress
from schema.status import ClusterStatus
from schema.tests.rpc.cluster import MemoryBackend, MemoryMaster, MemoryVm


class LoggingVm(MemoryVm):
    """A VM whose log is `pieces`; with `follow` the last of them comes again and again."""

    def __init__(self, instance: str, pieces: list[bytes]) -> None:
        super().__init__(instance)
        self.pieces = pieces
        self.asked: list[tuple[bool, int]] = []

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        self.asked.append((follow, tail_lines))
        for piece in self.pieces:
            await sink.write(piece)
        for _ in range(3 if follow else 0):
            await sink.write(self.pieces[-1])


@dataclass
class Cluster:
    """What the fakes answer, which a test may change while they are asked."""

    root: Path
    status: ClusterStatus
    builds: list[Build] = field(default_factory=list)
    vms: dict[str, LoggingVm] = field(default_factory=dict)
    roles: list[Role] = field(default_factory=list)
    did: list[tuple[object, ...]] = field(default_factory=list)
    asked: int = 0
    changed: trio.Condition = field(default_factory=trio.Condition)
    ci_url: str = ""

    @property
    def socket(self) -> Path:
        return self.root / "run" / "control-plane.sock"

    async def was_asked(self) -> None:
        async with self.changed:
            self.asked += 1
            self.changed.notify_all()

    async def until_asked(self, times: int) -> None:
        async with self.changed:
            while self.asked < times:
                await self.changed.wait()

    @asynccontextmanager
    async def http(self) -> AsyncIterator[str]:
        """The control plane's HTTP; its address."""
        body = self.status.model_dump_json(by_alias=True)
        app = Starlette(routes=[Route("/v1/status", lambda _: Response(body, media_type="application/json"))])
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve_http, app, host="127.0.0.1", port=0, graceful_seconds=0.1))
            nursery.cancel_scope.cancel()

    async def pcr(self, *argv: str, deadline: float = 120, module: str = "cli.main") -> Completed:
        """Run `pcr` against this cluster, found by its state directory alone."""
        env = {"HOME": str(self.root / "home"), "PROCURATOR_STATE": str(self.root)}
        return await run([sys.executable, "-m", module, *argv], deadline=deadline, env=env, check=False)


class _Master(MemoryMaster):
    def __init__(self, backend: "_Backend", identity: Identity) -> None:
        super().__init__(backend, identity)
        self.cluster = backend.cluster

    async def get_cluster_status(self) -> ClusterStatus:
        await self.cluster.was_asked()
        return self.cluster.status

    async def get_vm(self, vm_id: str) -> Vm:
        if vm_id not in self.cluster.vms:
            raise NotFound(f"no VM {vm_id!r}")
        return self.cluster.vms[vm_id]


class _Backend(MemoryBackend):
    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster
        self.did = cluster.did

    def master(self, identity: Identity) -> MemoryMaster:
        self.cluster.roles.append(identity.role)
        return _Master(self, identity)


def _ci(cluster: Cluster) -> Starlette:
    def page(request: Request) -> Response:
        wanted = request.query_params.get("commit")
        builds = tuple(build for build in cluster.builds if wanted in (None, build.commit))
        return Response(BuildPage(builds=builds).model_dump_json(by_alias=True), media_type="application/json")

    def one(request: Request) -> Response:
        found = [build for build in cluster.builds if build.id == request.path_params["number"]]
        return Response(found[0].model_dump_json(by_alias=True), media_type="application/json")

    return Starlette(routes=[Route("/v1/builds", page), Route("/v1/builds/{number:int}", one)])


@asynccontextmanager
async def a_cluster(root: Path, status: ClusterStatus, *, control_plane: bool = True) -> AsyncIterator[Cluster]:
    """Both fakes below `root`, laid out as `pcr up` does it."""
    cluster = Cluster(root, status)
    cluster.socket.parent.mkdir(parents=True)
    async with trio.open_nursery() as nursery:
        serve_ci = partial(serve_http, _ci(cluster), host="127.0.0.1", port=0, graceful_seconds=0.1)
        cluster.ci_url = "http://" + await nursery.start(serve_ci)
        (root / "run" / "ci.json").write_text(f'{{"pid": 1, "addresses": {{"http": "{cluster.ci_url[7:]}"}}}}')
        if control_plane:
            serve = partial(serve_control_plane, _Backend(cluster), address=UnixAddress(cluster.socket))
            await nursery.start(serve)
        yield cluster
        nursery.cancel_scope.cancel()
