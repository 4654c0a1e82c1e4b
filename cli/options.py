"""What every command shares: the global options' values, `-o`, and printing a view; it talks to nobody."""

import os
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from cli.settings import Options, Target, find_target

OutputFormat = Literal["table", "json"]
F = TypeVar("F", bound=Callable[..., Any])


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
