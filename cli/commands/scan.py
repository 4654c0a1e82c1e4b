"""`pcr scan`: what autonix finds in a repository; how it looks is `cli.render.findings`."""

from pathlib import Path

import click

from cli.options import OutputFormat, output_option


@click.command("scan")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--explain", is_flag=True, help="A sentence for each finding, and what `pcr init` makes of them.")
@output_option
def command(*, path: Path, explain: bool, output: OutputFormat) -> None:
    """Show what is in the repository at PATH: projects, services, ports, commands. Nothing in it is run.

    Each finding has its file, line, rule and confidence. Secrets are masked.
    """
    import trio

    from autonix.scan import analyse
    from cli.render.findings import explanation, findings_table, masked
    from cli.render.values import as_json

    analysis = trio.run(analyse, path)
    shown = masked(analysis)
    if output == "json":
        click.echo(as_json(shown))
    elif explain:
        from cli.render.emission import emission

        click.echo(explanation(shown))
        click.echo(emission(analysis))
    else:
        click.echo(findings_table(shown))
