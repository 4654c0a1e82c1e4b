"""The demo from start to end: services, a push by plain git, the watch, the page; it decides no verdict itself."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from cli.demo.progress import Done
from cli.demo.watching import Outcome, ReadStatus, Watch
from cli.up.cluster import LocalCluster
from nix.example import BRANCH, Clone
from schema.builds_client import BuildsClient
from schema.errors import Unavailable
from schema.log import escape_controls
from schema.status import ClusterStatus, VmStatus

REPOSITORY = "demo/example"
PAGE_INSTANCE = "web-0"
_HTTP_SECONDS = 10.0
_SHOWN_PAGE_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was pushed: the commit and its page on repohub."""

    commit: str
    page_url: str


@dataclass(frozen=True, slots=True)
class Story:
    """The demo's actions. `say` prints a line."""

    clone: Clone
    cluster: LocalCluster
    say: Callable[[str], None]

    async def push(self) -> Pushed:
        """Create the repository on repohub and push the clone to it."""
        cluster = self.cluster
        async with _client(cluster.url(cluster.ports.repohub)) as http:
            answer = await http.post("/api/repositories", json={"name": REPOSITORY, "default_branch": BRANCH})
            if answer.status_code not in {httpx.codes.OK, httpx.codes.CREATED}:
                raise Unavailable(f"repohub did not create {REPOSITORY}: {answer.status_code} {answer.text[:500]}")
            repository = answer.json()
        await self.clone.git("remote", "add", "origin", repository["cloneUrl"])
        await self.clone.git("config", "user.name", "Procurator's demo")
        await self.clone.git("config", "user.email", "demo@localhost")
        self.say(f"$ git push -u origin {BRANCH}    # {repository['cloneUrl']}")
        await self.clone.git("push", "--quiet", "--set-upstream", "origin", BRANCH)
        return Pushed(commit=await self.clone.head(), page_url=repository["pageUrl"])

    async def watch(self, commit: str, *, read_status: ReadStatus, on_done: Callable[[Done], None]) -> Outcome:
        """Follow the commit until it runs or has failed."""
        async with _client(self.cluster.url(self.cluster.ports.ci)) as http:
            watch = Watch(builds=BuildsClient(http), read_status=read_status, commit=commit, on_done=on_done)
            return await watch.until_over()


def page_url(status: ClusterStatus, forwarded: Mapping[str, Mapping[int, str]]) -> str:
    """Where `web-0` serves its page; `forwarded` is what `forwarded_ports` found. Raises Unavailable for no port."""
    vm = next((vm for vm in status.vms if vm.instance == PAGE_INSTANCE), None)
    port = _http_port(vm) if vm is not None else None
    if vm is None or port is None or not vm.address:
        raise Unavailable(f"{PAGE_INSTANCE} has no address or no port to fetch a page from")
    own = f"{vm.address.partition('/')[0]}:{port}"
    return f"http://{forwarded.get(PAGE_INSTANCE, {}).get(int(port), own)}/"


def forwarded_ports(folder: Path) -> dict[str, dict[int, str]]:
    """Where the user-mode network's ports lead from, by instance and the guest's port; empty where there is none.

    `folder` is the worker's, with the files that `worker/user_network.py` writes for the dev hypervisor.
    """
    told = [json.loads(file.read_bytes()) for file in folder.glob("*.json")]
    return {one["name"]: {inside: f"{host}:{port}" for host, port, inside in one["forwards"]} for one in told}


def _http_port(vm: VmStatus) -> str | None:
    return next((entry.rpartition(":")[2] for entry in vm.ports), None)


async def fetch_page(url: str) -> str:
    """The page as the host gets it from the guest, safe to show: what a guest sends is untrusted."""
    async with _client(url) as http:
        try:
            answer = await http.get("")
        except httpx.HTTPError as error:
            raise Unavailable(f"{url} did not answer: {error or type(error).__name__}") from error
    return escape_controls(answer.text[:_SHOWN_PAGE_CHARACTERS], keep_newlines=True)


@asynccontextmanager
async def _client(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    # trust_env: a proxy of the machine's has no business between us and our own services and guests.
    async with httpx.AsyncClient(base_url=base_url, timeout=_HTTP_SECONDS, trust_env=False) as client:
        yield client
