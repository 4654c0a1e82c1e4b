"""`pcr tui`: the cluster, live, in a terminal."""

import sys

import click

from cli.options import target_of
from schema.errors import InvalidInput


@click.command("tui")
@click.pass_context
def command(context: click.Context) -> None:
    """Show generations, VMs, workers, the rollout and events as they change.

    Keys: 1-4 turn pages, / filters, Enter shows all about a line, q quits.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("pcr tui needs a terminal; `pcr status -o json` and `pcr events -o json` are for programs")
    from cli.interactive.app import run_app

    run_app(target_of(context))
