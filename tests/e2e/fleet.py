"""A whole local cluster for a story: real services, a clone of the example, plain git, `pcr` as a user runs it."""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trio

from cli.up.cluster import LocalCluster, Options, executables, local_cluster, parts_dir, stop_vms
from cli.up.layout import StateDir
from cli.up.prepare import free_offset
from cli.up.record import read_record
from nix.environment import NixEnvironment
from nix.example import LIBRARY, prepare_clone
from nix.run import Completed, run
from schema.builds import Build
from schema.builds_client import BuildsClient
from schema.errors import ProcuratorError
from schema.interfaces import Role
from schema.rpc.client import open_session
from schema.rpc.transport.sockets import UnixAddress
from schema.status import ClusterStatus, Convergence, VmStatus

EXAMPLE = Path(__file__).parents[2] / "example"
REPOSITORY = "demo/example"
BOOT_SECONDS = 120.0
"""Four guests under software emulation on two busy cores; a healthy run takes a fifth of it."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a story does to the cluster, and what it sees of it."""

    root: Path
    cluster: LocalCluster

    @property
    def clone(self) -> Path:
        return self.root / "example"

    async def git(self, *arguments: str) -> str:
        env = {"HOME": str(self.root), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
        identity = ["-c", "user.name=Story", "-c", "user.email=story@example.invalid"]
        done = await run(["git", "-C", str(self.clone), *identity, *arguments], deadline=120, env=env)
        return done.stdout.decode().strip()

    async def commit(self, changes: Mapping[str, str]) -> str:
        """Write files, commit and push them; the commit."""
        for name, text in changes.items():
            (self.clone / name).write_text(text)
        await self.git("add", "--all")
        await self.git("commit", "--quiet", "--allow-empty", "-m", f"change {', '.join(changes) or 'nothing'}")
        await self.git("push", "--quiet", "origin", "HEAD:main")
        return await self.git("rev-parse", "HEAD")

    async def first_push(self) -> str:
        """Create the repository and push the example as it is."""
        hub = self.cluster.url(self.cluster.ports.repohub)
        async with httpx.AsyncClient(base_url=hub, trust_env=False, timeout=60) as http:
            answer = await http.post("/api/repositories", json={"name": REPOSITORY})
            assert answer.status_code in (200, 201), answer.text
        await self.git("remote", "add", "origin", answer.json()["cloneUrl"])
        return await self.commit({})

    async def status(self) -> ClusterStatus:
        async with open_session(UnixAddress(self.cluster.state.socket), Role.VIEWER) as master:
            return await master.get_cluster_status()

    async def until(self, holds: Callable[[ClusterStatus], bool], *, seconds: float = BOOT_SECONDS) -> ClusterStatus:
        """Wait for a status; a service that is being started again is waited for too."""
        last: ClusterStatus | None = None
        with trio.move_on_after(seconds):
            while True:
                try:
                    last = await self.status()
                    if holds(last):
                        return last
                except ProcuratorError as error:
                    if not error.transient:
                        raise
                await trio.sleep(0.1)
        raise AssertionError(f"not within {seconds:g} s; last: {told(last)}\n{self.log_tails()}")

    async def converged(self, commit: str) -> ClusterStatus:
        """Wait until every instance is healthy on `commit`."""

        def holds(status: ClusterStatus) -> bool:
            newest = status.newest
            if newest is not None and newest.commit == commit and status.convergence is Convergence.FAILED:
                raise AssertionError(f"failed: {told(status)}\n{self.log_tails()}")
            return newest is not None and newest.commit == commit and status.convergence is Convergence.CONVERGED

        return await self.until(holds)

    async def build(self, commit: str, *, seconds: float = 180) -> Build:
        """The build of a commit once it is over."""
        async with httpx.AsyncClient(
            base_url=self.cluster.url(self.cluster.ports.ci), trust_env=False, timeout=60
        ) as http:
            with trio.fail_after(seconds):
                while True:
                    try:
                        page = await BuildsClient(http).recent(commit=commit)
                    except ProcuratorError:
                        await trio.sleep(0.1)
                        continue
                    if page.builds and page.builds[0].state.is_over:
                        return page.builds[0]
                    await trio.sleep(0.1)

    async def pcr(self, *arguments: str, seconds: float = 180) -> Completed:
        """`pcr` as a user runs it; its exit code is for the story to look at."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root), "PROCURATOR_STATE": str(self.cluster.state.root)}
        return await run([str(executables() / "pcr"), *arguments], deadline=seconds, env=env, check=False)

    async def page(self, instance: str = "web-0") -> str:
        """What the instance's httpd answers to the host, through its tap."""
        vm = vm_of(await self.status(), instance)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            return (await http.get(f"http://{vm.address.partition('/')[0]}/")).text

    def pid_of(self, service: str) -> int:
        return read_record(self.cluster.state.record).services[service].process.pid

    async def kill(self, service: str) -> None:
        """`kill -9`, and wait until `pcr up` has started it again."""
        old = self.pid_of(service)
        os.kill(old, signal.SIGKILL)
        with trio.fail_after(120):
            while True:
                try:
                    if self.pid_of(service) != old and self.cluster.state.ready(service).exists():
                        return
                except KeyError:
                    pass
                await trio.sleep(0.02)

    def log_tails(self) -> str:
        """The end of each log; CI's, which names the failure of a build, comes last and is never cut from a record."""
        logs = sorted(self.cluster.state.logs.glob("*.log"), key=lambda log: (log.stem == "ci", log.name))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def vm_of(status: ClusterStatus, instance: str) -> VmStatus:
    """One instance of a status."""
    found = [vm for vm in status.vms if vm.instance == instance]
    assert found, f"no {instance} in {told(status)}"
    return found[0]


def told(status: ClusterStatus | None) -> str:
    """A status in a few lines."""
    if status is None:
        return "no status at all"
    lines = [f"{status.convergence}: {status.reason}"]
    lines += [f"  generation {g.number} {g.commit[:8]} {g.state}: {g.reason}" for g in status.generations]
    lines += [f"  {vm.instance} g{vm.running_generation} {vm.phase} pid {vm.pid}: {vm.reason}" for vm in status.vms]
    return "\n".join(lines)


def processes(status: ClusterStatus) -> dict[str, int]:
    """Each instance's hypervisor by its pid."""
    return {vm.instance: vm.pid for vm in status.vms}


@asynccontextmanager
async def a_fleet(*, workers: int = 1, settings: Mapping[str, str] | None = None) -> AsyncIterator[Fleet]:
    """A fresh cluster and clone; everything is stopped and deleted at the end.

    `settings` are of services, as their environment has them (`PROCURATOR_…`).
    """
    root = Path(tempfile.mkdtemp(prefix="procurator-story-")).resolve()
    parts = parts_dir(os.environ)
    options = Options(state=StateDir.at(root / "state"), workers=workers, port_offset=free_offset(workers=workers))
    said: list[str] = []
    try:
        await prepare_clone(EXAMPLE, root / "example", parts, nix=NixEnvironment(root / "nix").write())
        allowed = (parts, LIBRARY)
        environ = {**os.environ, **(settings or {})}
        async with local_cluster(options, environ=environ, allowed_paths=allowed, say=said.append) as cluster:
            yield Fleet(root, cluster)
    finally:
        with trio.CancelScope(shield=True):
            await stop_vms(options.state, environ=os.environ, say=said.append)
            for directory in root.rglob("*/"):
                if not directory.is_symlink():
                    directory.chmod(0o700)
            shutil.rmtree(root, ignore_errors=True)
