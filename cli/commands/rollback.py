"""`pcr rollback`: go back to an earlier generation by hand, and stay there until a good commit replaces it."""

import click

from cli.options import OutputFormat, output_option


@click.command("rollback")
@click.option("--to", "generation", type=click.IntRange(1), required=True, metavar="N", help="The generation.")
@click.option("--vm", "vms", multiple=True, metavar="VM", help="Only this VM (again and again); default: all.")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the audit and shown.")
@output_option
@click.pass_context
def command(
    context: click.Context, *, generation: int, vms: tuple[str, ...], reason: str, output: OutputFormat
) -> None:
    """Hold VMs at generation N. It lifts itself when a later commit brings another closure that gets healthy."""
    from cli.calling import ask, show
    from cli.render.text import cell
    from schema.interfaces import Role

    made = ask(context, Role.OPERATOR, lambda master: master.hold(vms, generation, reason=reason))
    words = f"held at generation {made.generation}: {', '.join(made.vms)}; `pcr hold lift {made.id}` ends it"
    show(made, lambda: cell(words), output=output)
