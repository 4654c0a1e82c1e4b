"""`pcr completion`: the script that makes a shell complete `pcr`; it installs nothing."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, *, shell: str) -> None:
    """Print the completion script of SHELL: `eval "$(pcr completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None, "click has the three that are offered"  # noqa: S101 - narrows the type
    click.echo(kind(context.find_root().command, {}, "pcr", "_PCR_COMPLETE").source())
