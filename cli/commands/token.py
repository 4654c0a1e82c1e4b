"""`pcr token`: the secrets by which people and programs log in over TCP."""

import re

import click

from cli.options import OutputFormat, output_option
from schema.errors import InvalidInput

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ROLES = ("viewer", "publisher", "operator", "admin")


@click.group("token")
def command() -> None:
    """Make, list and revoke tokens."""


@command.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What its holder may do.")
@click.option("--lasts", default="90d", show_default=True, metavar="TIME", help="30m, 12h, 90d, or `forever`.")
@output_option
@click.pass_context
def create(context: click.Context, *, name: str, role: str, lasts: str, output: OutputFormat) -> None:
    """Make the token NAME and print its secret, once: keep it in a file of mode 0600."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    lasts_ms = milliseconds(lasts)
    call_role = Role(role)
    secret = ask(context, Role.ADMIN, lambda master: master.create_token(name, role=call_role, lasts_ms=lasts_ms))
    done(secret, output=output, token=name, role=role, secret=secret)


@command.command("ls")
@output_option
@click.pass_context
def list_tokens(context: click.Context, *, output: OutputFormat) -> None:
    """List all tokens, without their secrets."""
    from cli.calling import ask, show
    from cli.render.operations import token_table
    from schema.interfaces import Role

    found = ask(context, Role.ADMIN, lambda master: master.list_tokens())
    show(found, lambda: token_table(found), output=output)


@command.command("revoke")
@click.argument("name")
@output_option
@click.pass_context
def revoke(context: click.Context, *, name: str, output: OutputFormat) -> None:
    """End the token NAME, and every session that it holds at this moment."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    ask(context, Role.ADMIN, lambda master: master.revoke_token(name))
    done(f"{name} is revoked", output=output, token=name, revoked=True)


def milliseconds(text: str) -> int:
    """`12h` in milliseconds, 0 for `forever`. Raises InvalidInput."""
    if text == "forever":
        return 0
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if found is None:
        raise InvalidInput(f"--lasts {text[:40]!r}: a whole number and s, m, h or d, such as 12h; or `forever`")
    return int(found[1]) * _UNITS[found[2]] * 1000
