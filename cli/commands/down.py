"""`pcr down`: end what `pcr up` started; what ends it is `cli.up`."""

import os
from functools import partial
from pathlib import Path

import click
import trio

from cli.commands.up import first_expected
from cli.settings import state_dir
from cli.up.cluster import require_root, take_down
from cli.up.layout import StateDir
from schema.log import escape_controls


@click.command("down")
@click.option("--state", type=click.Path(path_type=Path), help="The directory that `pcr up` was given.")
@click.option("--keep-vms", is_flag=True, help="Leave the VMs running; the next `pcr up` takes them over.")
def command(*, state: Path | None, keep_vms: bool) -> None:
    """Stop the services that `pcr up` runs, and the VMs."""
    root = state.absolute() if state else state_dir(os.environ)
    if not _is_ours(root):
        require_root("pcr down")

    def say(text: str) -> None:
        click.echo(escape_controls(text, keep_newlines=True))

    try:
        trio.run(partial(take_down, StateDir.at(root), keep_vms=keep_vms, environ=os.environ, say=say))
    except BaseExceptionGroup as group:
        raise first_expected(group) from group


def _is_ours(root: Path) -> bool:
    """Whether a cluster there would be one that this user has started; of what is not there nobody is asked for."""
    try:
        return root.stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return True
    except PermissionError:
        return False


down = command
