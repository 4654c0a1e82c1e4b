"""`pcr scan`: what autonix finds in a repository; how it looks is `cli.render.findings`."""

from pathlib import Path

import click

from cli.options import OutputFormat, output_option


@click.command("scan")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--rev", metavar="REVISION", help="Scan this commit of the repository (also a bare one), not the files.")
@click.option("--explain", is_flag=True, help="A sentence for each finding, and what `pcr init` makes of them.")
@click.option("--no-cache", is_flag=True, help="Find everything anew, and keep nothing for the next time.")
@output_option
def command(*, path: Path, rev: str | None, explain: bool, no_cache: bool, output: OutputFormat) -> None:
    """Show what is in the repository at PATH: languages, projects, services, ports, commands. Nothing in it is run.

    Each finding has its file, line, rule and confidence. Secrets are masked.
    """
    import os
    from functools import partial

    import trio

    from autonix.cache import user_cache
    from autonix.scan import analyse, analyse_commit
    from cli.render.findings import explanation, findings_table, masked
    from cli.render.values import as_json

    cache = None if no_cache else user_cache(os.environ)
    if rev is None:
        analysis = trio.run(partial(analyse, path, cache=cache))
    else:
        analysis = trio.run(partial(analyse_commit, path, rev, cache=cache))
    shown = masked(analysis)
    if output == "json":
        click.echo(as_json(shown))
    elif explain:
        from cli.render.emission import emission

        click.echo(explanation(shown))
        click.echo(emission(analysis))
    else:
        click.echo(findings_table(shown))
