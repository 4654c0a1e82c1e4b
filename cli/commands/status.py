"""`pcr status`: the cluster at a glance; how it looks is `cli.render`."""

import click

from cli.options import OutputFormat, output_option, target_of


@click.command("status")
@output_option
@click.pass_context
def command(context: click.Context, *, output: OutputFormat) -> None:
    """Show whether the cluster has converged, its generations, VMs and workers."""
    from cli.asking import cluster_status
    from cli.render.status import status_view, view_table
    from cli.render.values import as_json

    view = status_view(cluster_status(target_of(context)))
    click.echo(as_json(view) if output == "json" else view_table(view))
