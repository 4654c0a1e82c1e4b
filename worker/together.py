"""Two things done at once, of which either may fail; it knows neither."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from schema.errors import ProcuratorError

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


async def together(first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """What both answer. The first of them that fails (ProcuratorError, OSError) cancels the other, and is raised."""
    firsts: list[A] = []
    seconds: list[B] = []
    failures: list[ProcuratorError | OSError] = []
    async with trio.open_nursery() as nursery:

        async def carry_out(work: Callable[[], Awaitable[T]], answers: list[T]) -> None:
            try:
                answers.append(await work())
            except (ProcuratorError, OSError) as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

        nursery.start_soon(carry_out, second, seconds)
        await carry_out(first, firsts)
    if failures:
        raise failures[0]
    return firsts[0], seconds[0]
