"""One call, or a few, of the control plane from a command, and how its answer is printed; it knows no operation."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

import click
from pydantic import BaseModel

from cli.options import OutputFormat, target_of
from cli.session import control_plane, run_command
from schema.interfaces import Role
from schema.rpc.client import RemoteMaster

T = TypeVar("T")
Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)

CALL_SECONDS = 30.0
"""How long one call may take: what it does is on disk before it answers."""


def ask(context: click.Context, role: Role, call: Callable[[RemoteMaster], Awaitable[T]]) -> T:
    """What `call` gets from a session as `role`. Raises what the control plane answers, DeadlineExceeded too."""
    import trio

    from schema.errors import DeadlineExceeded

    target = target_of(context)

    async def talk() -> T:
        with trio.move_on_after(CALL_SECONDS):
            async with control_plane(target, role) as master:
                return await call(master)
        raise DeadlineExceeded(f"no answer within {CALL_SECONDS:g} s; whether it was done, `pcr audit` tells")

    return run_command(talk)


class _Page(Protocol[Row_co]):
    """A list of the control plane: the newest first, below number `before`, at most as many as it gives at a time."""

    async def __call__(self, *, limit: int, before: int) -> tuple[Row_co, ...]: ...


async def in_pages(
    page: _Page[Row], *, number: Callable[[Row], int], limit: int, before: int | None
) -> tuple[Row, ...]:
    """The newest `limit` rows below number `before` (None: of all), however few come at a time."""
    found: tuple[Row, ...] = ()
    while len(found) < limit:
        below = number(found[-1]) if found else before or 0
        page_of = await page(limit=limit - len(found), before=below)
        more = tuple(row for row in page_of if not below or number(row) < below)
        if not more:
            break
        found += more
    return found[:limit]


def show(found: Iterable[BaseModel] | BaseModel, text: Callable[[], str], *, output: OutputFormat) -> None:
    """Print models as camelCase JSON, or what `text` makes of them."""
    if output != "json":
        click.echo(text())
        return
    plain = (
        found.model_dump(mode="json", by_alias=True)
        if isinstance(found, BaseModel)
        else [one.model_dump(mode="json", by_alias=True) for one in found]
    )
    click.echo(json.dumps(plain, indent=2, ensure_ascii=True))


def done(text: str, *, output: OutputFormat, **facts: object) -> None:
    """Say that an operation has been carried out: a line, or `facts` as a JSON object."""
    from cli.render.text import cell

    click.echo(json.dumps(facts, indent=2) if output == "json" else cell(text))
