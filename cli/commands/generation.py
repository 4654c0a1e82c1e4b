"""`pcr generation`: what was published, and what differs between two; the comparison is `schema.generation_diff`."""

import click

from cli.options import OutputFormat, output_option


@click.group("generation")
def command() -> None:
    """Look at generations."""


@command.command("ls")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--before", type=click.IntRange(1), default=None, help="Only generations below this number.")
@output_option
@click.pass_context
def list_generations(context: click.Context, *, limit: int, before: int | None, output: OutputFormat) -> None:
    """List the generations that are kept, the newest first."""
    from cli.calling import ask, show
    from cli.render.operations import generation_table
    from schema.interfaces import Role

    found = ask(context, Role.VIEWER, lambda master: master.list_generations(limit=limit, before=before or 0))
    show(found, lambda: generation_table(found), output=output)
