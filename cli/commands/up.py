"""`pcr up`: every service on this machine, in the foreground; what runs them is `cli.up`."""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
import trio

from cli.settings import state_dir
from cli.up.cluster import (
    USER_NETWORK,
    LocalCluster,
    Options,
    example_paths,
    local_cluster,
    make_ready,
    parts_dir,
)
from cli.up.layout import StateDir
from cli.up.plan import MAX_WORKERS, worker_name
from schema.errors import ProcuratorError
from schema.log import escape_controls
from schema.service import causes, until_signalled


def summary(cluster: LocalCluster, *, workers: int) -> str:
    """Where everything is, for people."""
    ports = cluster.ports
    rows = [
        ("repohub", f"{cluster.url(ports.repohub)}  (pages and git)"),
        ("ci", cluster.url(ports.ci)),
        ("cache", cluster.url(ports.cache)),
        ("control-plane", f"{cluster.url(ports.control_plane)}, rpc port {ports.rpc}, {cluster.state.socket}"),
        *((worker_name(number), cluster.url(ports.worker(number))) for number in range(workers)),
        ("VMs", cluster.choices.network_range),
        ("state", f"{cluster.state.root}  (logs in {cluster.state.logs})"),
    ]
    return "\n".join(f"  {name:<14} {where}" for name, where in rows)


async def _up(options: Options) -> None:
    def say(text: str) -> None:
        with suppress(OSError):  # a closed terminal does not stop the clean-up
            click.echo(escape_controls(text, keep_newlines=True), err=True)

    paths = tuple(path for path in example_paths(os.environ) if path.exists())
    if len(paths) < len(example_paths(os.environ)):
        say(f"without {parts_dir(os.environ)} the example cannot be built; `./dev up` makes it first")
    say(f"starting the services of {options.state.root}")
    is_up = False
    try:
        async with local_cluster(options, environ=os.environ, allowed_paths=paths, say=say) as cluster:
            is_up = True
            click.echo(f"up:\n{summary(cluster, workers=options.workers)}")
            click.echo(f"Ctrl-C stops the services; `pcr down --state {options.state.root}` the VMs too.")
            await trio.sleep_forever()
    finally:
        if is_up:
            say("services stopped; the VMs run on")


@click.command("up")
@click.option("--state", type=click.Path(path_type=Path), help="The directory that holds everything.")
@click.option("--workers", type=click.IntRange(1, MAX_WORKERS), default=1, show_default=True)
@click.option("--port-offset", type=int, help="Added to every port (kept in the state directory; 0 at first).")
@click.option(USER_NETWORK, is_flag=True, help="Without root, for development: no connect, egress or names of VMs.")
def command(*, state: Path | None, workers: int, port_offset: int | None, user_network: bool) -> None:
    """Run all services of a cluster on this machine, in the foreground.

    Keys, tokens and settings are made once in the state directory. Killed and started again, it takes over what runs.
    """
    make_ready("pcr up", user_network=user_network, environ=os.environ)
    root = state.absolute() if state else state_dir(os.environ)
    options = Options(state=StateDir.at(root), workers=workers, port_offset=port_offset, user_network=user_network)
    try:
        trio.run(until_signalled, "pcr up", partial(_up, options))
    except BaseExceptionGroup as group:
        raise first_expected(group) from group


def first_expected(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The ProcuratorError in `group` when there is nothing else in it, and `group` itself when there is."""
    found = list(causes(group))
    return found[0] if all(isinstance(cause, ProcuratorError) for cause in found) else group


up = command
