"""`pcr explain`: why an instance is where it is, why not elsewhere, or why nowhere."""

import click

from cli import completing
from cli.options import OutputFormat, output_option


@click.command("explain")
@click.argument("instance", shell_complete=completing.instances)
@output_option
@click.pass_context
def command(context: click.Context, *, instance: str, output: OutputFormat) -> None:
    """Say why INSTANCE (`web-0`) runs where it does, and what each other worker lacks for it."""
    from cli.calling import ask, show
    from cli.render.operations import explanation_text
    from schema.interfaces import Role

    found = ask(context, Role.VIEWER, lambda master: master.explain(instance))
    show(found, lambda: explanation_text(found), output=output)
