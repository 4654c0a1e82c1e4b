"""`pcr hold`: the VMs that an operator has pinned to an earlier generation. `pcr rollback` makes one."""

import click

from cli.options import OutputFormat, output_option


@click.group("hold")
def command() -> None:
    """Look at holds and lift them."""


@command.command("ls")
@output_option
@click.pass_context
def list_holds(context: click.Context, *, output: OutputFormat) -> None:
    """List the holds in force."""
    from cli.calling import ask, show
    from cli.render.operations import hold_table
    from schema.interfaces import Role

    found = ask(context, Role.VIEWER, lambda master: master.list_holds())
    show(found, lambda: hold_table(found), output=output)


@command.command("lift")
@click.argument("hold")
@output_option
@click.pass_context
def lift(context: click.Context, *, hold: str, output: OutputFormat) -> None:
    """End HOLD: its VMs follow the newest generation again."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    ask(context, Role.OPERATOR, lambda master: master.lift_hold(hold))
    done(f"hold {hold} is lifted", output=output, hold=hold, lifted=True)
