"""`pcr status`: the cluster at a glance; how it looks is `cli.render`."""

import click

from cli.options import OutputFormat, output_option, target_of


@click.command("status")
@output_option
@click.pass_context
def command(context: click.Context, *, output: OutputFormat) -> None:
    """Show whether the cluster has converged, its generations, VMs and workers."""
    from cli.render.status import status_view, view_table
    from cli.render.values import as_json
    from cli.session import control_plane, run_command
    from schema.interfaces import Role
    from schema.status import ClusterStatus

    target = target_of(context)

    async def ask() -> ClusterStatus:
        async with control_plane(target, Role.VIEWER) as master:
            return await master.get_cluster_status()

    view = status_view(run_command(ask))
    click.echo(as_json(view) if output == "json" else view_table(view))
