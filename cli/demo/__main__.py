"""`./dev demo`: the command line, the order of things and what is printed; the steps are in the modules beside it."""

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import trio

from cli.commands.up import first_expected, summary
from cli.demo.direct_boot import seconds_of_a_direct_boot
from cli.demo.progress import Done
from cli.demo.story import Pushed, Story, fetch_page, forwarded_ports, page_url
from cli.demo.workspace import Workspace, clear_leftovers
from cli.up.cluster import (
    USER_NETWORK,
    LocalCluster,
    Options,
    example_paths,
    executables,
    local_cluster,
    make_ready,
    parts_dir,
    stop_vms,
)
from cli.up.plan import worker_name
from cli.up.prepare import free_offset
from nix.environment import NixEnvironment
from nix.example import Clone, prepare_clone
from schema.errors import ProcuratorError, Unavailable
from schema.interfaces import Role
from schema.log import escape_controls
from schema.rpc.client import open_session
from schema.rpc.transport.sockets import UnixAddress
from schema.service import until_signalled
from schema.status import ClusterStatus

EXAMPLE = Path(__file__).resolve().parents[2] / "example"
NEW_TEXT = "sed -i 's|<p>.*</p>|<p>A new text.</p>|' web/index.html; git commit -qam 'New text'"
UNHEALTHY = "sed -i 's/^\".*\"/\"unhealthy\"/' variant.nix; git commit -qam 'Unhealthy'"
PUSH = 'git push -q; pcr rollout wait --commit "$(git rev-parse HEAD)"'
"""What the demo tells to try, as a shell takes it."""


def say(text: str) -> None:
    """A line for people; nothing in it can lead their terminal, and a closed one does not stop the clean-up."""
    with suppress(OSError):
        click.echo(escape_controls(text, keep_newlines=True))


@dataclass(slots=True)
class Demo:
    """One run. `started` is on CLOCK_MONOTONIC, from `./dev` where it started us, after what it installed."""

    once: bool
    started: float
    workspace: Workspace
    user_network: bool = False
    healthy: bool = False

    def seconds(self) -> float:
        """How long the demo has run."""
        return time.monotonic() - self.started

    async def run(self) -> None:
        """All of it: returns when healthy (`--once`), else when cancelled. Raises what stopped it."""
        began = self.seconds()
        await clear_leftovers(self.workspace.root.parent, environ=os.environ, say=say)
        self.started += self.seconds() - began  # an earlier demo's mess is not this one's time
        say(f"state {self.workspace.state.root}")
        say(f"clone {self.workspace.clone}")
        options = Options(
            state=self.workspace.state, port_offset=free_offset(workers=1), user_network=self.user_network
        )
        try:
            async with (
                self._cloned() as clone,
                local_cluster(options, environ=os.environ, allowed_paths=example_paths(os.environ), say=say) as cluster,
            ):
                say(f"{self.seconds():6.1f} s  services up\n{summary(cluster, workers=1)}")
                await self._show(cluster, await clone())
                if not self.once:
                    await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                say("stopping the VMs (it may take 10 s)")
                await stop_vms(self.workspace.state, environ=os.environ, say=say)

    @asynccontextmanager
    async def _cloned(self) -> AsyncIterator[Callable[[], Awaitable[Clone]]]:
        """Prepare the clone meanwhile; what is yielded waits for it."""
        done = trio.Event()
        clones: list[Clone] = []

        async def prepare() -> None:
            nix = NixEnvironment(self.workspace.nix).write()
            clones.append(await prepare_clone(EXAMPLE, self.workspace.clone, parts_dir(os.environ), nix=nix))
            done.set()

        async def clone() -> Clone:
            await done.wait()
            return clones[0]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(prepare)
            yield clone

    async def _show(self, cluster: LocalCluster, clone: Clone) -> None:
        story = Story(clone=clone, cluster=cluster, say=say)
        pushed = await story.push()
        say(f"{self.seconds():6.1f} s  pushed {pushed.commit[:12]}")
        outcome = await story.watch(pushed.commit, read_status=partial(read_status, cluster), on_done=self._say_done)
        if outcome.failed is not None:
            tail = "".join(f"\n  | {line}" for line in outcome.failed.log_tail)
            raise Unavailable(f"{outcome.failed.reason}{tail}\nlogs: {cluster.state.logs}")
        assert outcome.status is not None, "what is healthy has a status"  # noqa: S101 - narrows the type
        took = self.seconds()
        forwarded = forwarded_ports(cluster.state.data(worker_name(0)) / "user-net")
        await show_result(outcome.status, pushed, page_url(outcome.status, forwarded))
        self.healthy = True
        direct = await seconds_of_a_direct_boot(environ=os.environ)
        say(f"\nthe demo took {took:.1f} s, which is {took / direct:.1f} times one direct QEMU boot ({direct:.1f} s)")
        if not self.once:
            say(things_to_try(self.workspace, cluster, pushed))

    def _say_done(self, done: Done) -> None:
        say(f"{self.seconds():6.1f} s  {done.step:<9} {done.duration_ms / 1000:6.2f} s  {done.detail}")


async def show_result(status: ClusterStatus, pushed: Pushed, url: str) -> None:
    """The cluster's table, what `web-0` serves, and that it serves it at `url`."""
    from cli.render import status_table

    say(f"\n{status_table(status)}")
    say(f"\n{url} says:\n{await fetch_page(url)}")
    say(f"its page: {pushed.page_url}")


async def read_status(cluster: LocalCluster) -> ClusterStatus:
    """The cluster now; a session for each reading, so that a restarted control plane is found again."""
    async with open_session(UnixAddress(cluster.state.socket), Role.VIEWER) as master:
        return await master.get_cluster_status()


def things_to_try(workspace: Workspace, cluster: LocalCluster, pushed: Pushed) -> str:
    """Three next steps, as commands."""
    return "\n".join(
        [
            "three things to try, in another terminal:",
            f"  export PROCURATOR_STATE={cluster.state.root} PATH={executables()}:$PATH; cd {workspace.clone}",
            f"  1. a new text:\n       {NEW_TEXT}; {PUSH}",
            f"  2. a failing health check, which goes back by itself; the second line puts it right:\n"
            f"       {UNHEALTHY}; {PUSH}\n       git revert --no-edit HEAD; {PUSH}",
            "  3. what a guest writes:\n       pcr vm logs web-0 --tail 20",
            f"The builds: {pushed.page_url}   Ctrl-C stops everything.",
        ]
    )


@click.command("demo")
@click.option("--once", is_flag=True, help="Stop everything once the VMs are healthy; exit 0 only then.")
@click.option(USER_NETWORK, is_flag=True, help="Without root, for development: no connect, egress or names of VMs.")
def command(*, once: bool, user_network: bool) -> None:
    """From `git push` to a healthy VM on this machine, shown live."""
    try:
        make_ready("./dev demo", user_network=user_network, environ=os.environ)
    except ProcuratorError as error:
        raise click.ClickException(error.message) from error
    started = float(os.environ.get("PROCURATOR_DEMO_STARTED", time.monotonic()))
    workspace = Workspace.fresh(Path(tempfile.gettempdir()))
    demo = Demo(once=once, started=started, workspace=workspace, user_network=user_network)
    try:
        trio.run(until_signalled, "the demo", demo.run)
    except (ProcuratorError, BaseExceptionGroup) as error:
        cause = first_expected(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(cause, ProcuratorError):
            raise
        say(f"the demo failed after {demo.seconds():.1f} s: {cause.message}")
        say(f"kept for a look: {demo.workspace.root}")
        sys.exit(1)
    demo.workspace.remove()
    sys.exit(0 if demo.healthy or not once else 1)


if __name__ == "__main__":
    command(prog_name="./dev demo")
