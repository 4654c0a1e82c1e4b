"""`pcr vm`: the instances and what their guests write; how they look is `cli.render`."""

import json

import click

from cli.options import OutputFormat, output_option, target_of

_MAX_TAIL = 1_000_000


@click.group("vm")
def command() -> None:
    """Look at VMs."""


@command.command("ls")
@output_option
@click.pass_context
def list_vms(context: click.Context, *, output: OutputFormat) -> None:
    """List every instance, where it runs, how it is, and why."""
    from cli.asking import cluster_status
    from cli.render.values import as_json
    from cli.render.vms import vm_lines, vm_table

    found = vm_lines(cluster_status(target_of(context)))
    click.echo(as_json(found) if output == "json" else vm_table(found, wide=True))


@command.command("logs")
@click.argument("instance")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the VM ends or Ctrl-C.")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(0, _MAX_TAIL),
    default=0,
    show_default="all that is kept",
    help="Begin with the last N lines.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Lines, or JSON a line.")
@click.pass_context
def show_logs(context: click.Context, *, instance: str, follow: bool, tail: int, output: OutputFormat) -> None:
    """Print what INSTANCE (`web-0`) wrote to its serial console, without its terminal escapes."""
    from cli.render.logs import LogLines
    from cli.session import control_plane, run_command
    from schema.interfaces import Role

    target = target_of(context)
    log = LogLines()

    def say(lines: list[str]) -> None:
        for line in lines:
            click.echo(json.dumps({"instance": instance, "line": line}) if output == "json" else line)

    class Printing:
        async def write(self, data: bytes) -> None:
            """`LogSink`."""
            say(log.feed(data))

    async def ask() -> None:
        async with control_plane(target, Role.VIEWER) as master:
            vm = await master.get_vm(instance)
            await vm.get_logs(follow=follow, tail_lines=tail, sink=Printing())

    try:
        run_command(ask)
    finally:
        say(log.end())
