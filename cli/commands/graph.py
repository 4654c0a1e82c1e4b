"""`pcr graph`: who needs whom among the repositories of a directory; how it looks is `cli.render.graph`."""

from pathlib import Path

import click


@click.command("graph")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option(
    "-o",
    "--output",
    type=click.Choice(["dot", "mermaid", "json", "svg"]),
    default="dot",
    show_default=True,
    help="How to print.",
)
@click.option("--no-cache", is_flag=True, help="Find everything anew, and keep nothing for the next time.")
def command(*, directory: Path, output: str, no_cache: bool) -> None:
    """Show how the repositories in DIRECTORY depend on each other and on services.

    Each directory in it that is not hidden counts as a repository.
    """
    import os
    from functools import partial

    import trio

    from autonix.cache import user_cache
    from autonix.emit.graph import graph_of
    from autonix.scan import analyse, repositories_in
    from cli.render.graph import as_dot, as_mermaid
    from cli.render.svg import as_svg
    from cli.render.values import as_json

    cache = None if no_cache else user_cache(os.environ)
    graph = graph_of([trio.run(partial(analyse, repository, cache=cache)) for repository in repositories_in(directory)])
    render = {"dot": as_dot, "mermaid": as_mermaid, "json": as_json, "svg": as_svg}[output]
    click.echo(render(graph))
