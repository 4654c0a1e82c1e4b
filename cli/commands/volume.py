"""`pcr volume`: give up what keeps an instance on its worker."""

import click

from cli import completing
from cli.options import OutputFormat, output_option


@click.group("volume")
def command() -> None:
    """Act on volumes."""


@command.command("release")
@click.argument("instance", shell_complete=completing.instances)
@click.option("--volume", default="", help="Only this one; default: all of the instance.")
@click.option("--yes", is_flag=True, help="Do not ask: what is on it is not carried elsewhere.")
@output_option
@click.pass_context
def release(context: click.Context, *, instance: str, volume: str, yes: bool, output: OutputFormat) -> None:
    """Let INSTANCE be placed without its volume, which stays behind on its worker."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    if not yes:
        click.confirm(f"{instance} starts with an empty volume elsewhere. Go on?", abort=True, err=True)
    ask(context, Role.OPERATOR, lambda master: master.release_volume(instance, volume=volume))
    done(f"{instance} is no longer bound to its worker", output=output, instance=instance, volume=volume)
