"""What every command shares: the global options' values, `-o`, and printing a view; it talks to nobody."""

import math
import os
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from cli.settings import Options, Target, find_target

OutputFormat = Literal["table", "json"]
F = TypeVar("F", bound=Callable[..., Any])


class _Seconds(click.FloatRange):
    """Seconds from 0 on, of which there is an end: `nan` and `inf` are numbers to Python, and none here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return found


SECONDS = _Seconds(0, 10**9)


def output_option(function: F) -> F:
    """`-o table|json`."""
    decorate = click.option(
        "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
    )
    return decorate(function)


def target_of(context: click.Context) -> Target:
    """Whom the global options of this call mean. Raises InvalidInput and NotFound."""
    options = context.find_object(Options) or Options()
    return find_target(options, environ=os.environ)
