"""`pcr graph`: who needs whom among the repositories of a directory; how it looks is `cli.render.graph`."""

from pathlib import Path

import click


@click.command("graph")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option(
    "-o",
    "--output",
    type=click.Choice(["dot", "mermaid", "json"]),
    default="dot",
    show_default=True,
    help="How to print.",
)
def command(*, directory: Path, output: str) -> None:
    """Show how the repositories in DIRECTORY depend on each other and on services.

    Each directory in it that is not hidden counts as a repository.
    """
    import trio

    from autonix.emit.graph import graph_of
    from autonix.scan import analyse
    from cli.render.graph import as_dot, as_mermaid
    from cli.render.values import as_json
    from schema.errors import NotFound

    if not directory.is_dir():
        raise NotFound(f"no directory {directory}")
    repositories = sorted(
        each
        for each in directory.iterdir()
        if each.is_dir() and not each.is_symlink() and not each.name.startswith(".")
    )
    graph = graph_of([trio.run(analyse, repository) for repository in repositories])
    render = {"dot": as_dot, "mermaid": as_mermaid, "json": as_json}[output]
    click.echo(render(graph))
