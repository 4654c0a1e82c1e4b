"""`pcr audit`: who did what, and whether the record of it is whole."""

import sys

import click

from cli.options import OutputFormat, output_option


@click.group("audit", invoke_without_command=True)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--before", type=click.IntRange(1), default=None, help="Only rows below this number.")
@output_option
@click.pass_context
def command(context: click.Context, *, limit: int, before: int | None, output: OutputFormat) -> None:
    """List who did what, the newest first; `pcr audit verify` follows the chain."""
    if context.invoked_subcommand is not None:
        return
    from cli.calling import ask, in_pages, show
    from cli.render.operations import audit_table
    from schema.interfaces import Role

    found = ask(
        context,
        Role.ADMIN,
        lambda master: in_pages(master.list_audit, number=lambda one: one.sequence, limit=limit, before=before),
    )
    show(found, lambda: audit_table(found), output=output)


@command.command("verify")
@output_option
@click.pass_context
def verify(context: click.Context, *, output: OutputFormat) -> None:
    """Follow the chain from the first row to the last; exit code 1 where a row was changed or is missing."""
    from cli.calling import ask, show
    from cli.render.operations import audit_verdict_text
    from schema.interfaces import Role

    verdict = ask(context, Role.ADMIN, lambda master: master.verify_audit())
    show(verdict, lambda: audit_verdict_text(verdict), output=output)
    sys.exit(0 if verdict.holds else 1)
