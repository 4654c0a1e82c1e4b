"""A click group whose commands are imported when they run, and how a program says its one line of error."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from schema.errors import ProcuratorError

EXIT_FAILED = 1
EXIT_LATER = 75
"""sysexits' EX_TEMPFAIL: the same call may succeed later."""

Lazy = Mapping[str, tuple[str, str]]
"""Command name to (`module:attribute`, its short help): `--help` imports no command."""


class LazyGroup(click.Group):
    """A group with commands that are named by where they are."""

    def __init__(self, *args: Any, lazy: Lazy | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, click.Command), f"{module}:{attribute} is no command"  # noqa: S101 - our own table
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from the table."""
        own = {name: found.get_short_help_str() for name, found in self.commands.items()}
        rows = sorted((own | {name: text for name, (_, text) in self._lazy.items()}).items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def fail(program: str, error: ProcuratorError) -> int:
    """Say `error` on stderr, without anything that a terminal would act on; the exit code."""
    from schema.log import escape_controls

    click.echo(f"{program}: {escape_controls(error.message, keep_newlines=True)}", err=True)
    return EXIT_LATER if error.transient else EXIT_FAILED
