"""`pcr generation`: what was published, and what differs between two; the comparison is `schema.generation_diff`."""

import click

from cli import completing
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
    from cli.calling import ask, in_pages, show
    from cli.render.operations import generation_table
    from schema.interfaces import Role

    found = ask(
        context,
        Role.VIEWER,
        lambda master: in_pages(master.list_generations, number=lambda one: one.number, limit=limit, before=before),
    )
    show(found, lambda: generation_table(found), output=output)


@command.command("show")
@click.argument("number", shell_complete=completing.generations, type=click.IntRange(1))
@output_option
@click.pass_context
def show_generation(context: click.Context, *, number: int, output: OutputFormat) -> None:
    """Show generation NUMBER: its VMs as they were published, and how its rollout went."""
    from cli.calling import ask, show
    from cli.render.generations import generation_text
    from schema.interfaces import Role

    found = ask(context, Role.VIEWER, lambda master: master.get_generation(number))
    show(found, lambda: generation_text(found), output=output)


@command.command("diff")
@click.argument("old", shell_complete=completing.generations, type=click.IntRange(1))
@click.argument("new", shell_complete=completing.generations, type=click.IntRange(1), required=False)
@output_option
@click.pass_context
def diff(context: click.Context, *, old: int, new: int | None, output: OutputFormat) -> None:
    """Show what generation NEW (default: the newest) changes against OLD, VM by VM and field by field."""
    from cli.calling import ask, show
    from cli.render.generations import diff_text
    from schema.errors import NotFound
    from schema.generation_diff import GenerationDiff, generation_diff
    from schema.interfaces import Master, Role

    async def compare(master: Master) -> GenerationDiff:
        number = new
        if number is None:
            newest = await master.list_generations(limit=1, before=0)
            if not newest:
                raise NotFound("nothing is published yet")
            number = newest[0].number
        return generation_diff(await master.get_generation(old), await master.get_generation(number))

    found = ask(context, Role.VIEWER, compare)
    show(found, lambda: diff_text(found), output=output)
