"""`pcr events`: what happens in the cluster, as it happens."""

import json

import click

from cli.options import OutputFormat, output_option, target_of


@click.command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C, over restarts of the control plane too.")
@output_option
@click.pass_context
def command(context: click.Context, *, follow: bool, output: OutputFormat) -> None:
    """Show the events that the control plane still has and, with --follow, those that come."""
    from cli.following import follow_events
    from cli.render.operations import event_line
    from cli.session import run_command
    from schema.status import Event

    def say(event: Event) -> None:
        shown = event.model_dump(mode="json", by_alias=True)
        click.echo(json.dumps(shown) if output == "json" else event_line(event))

    def note(text: str) -> None:
        click.echo(f"pcr: {text}", err=True)

    target = target_of(context)
    run_command(lambda: follow_events(target, follow=follow, on_event=say, on_note=note))
