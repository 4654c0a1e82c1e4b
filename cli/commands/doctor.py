"""`pcr doctor`: tries what the workers of this machine need and says what to do; the probes are the workers' own."""

import os
import sys
from pathlib import Path

import click

from cli.options import OutputFormat, output_option


@click.command("doctor")
@click.option(
    "--worker-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="A worker's settings; default: those of `pcr up` on this machine, else /etc/procurator/worker.toml.",
)
@output_option
def command(*, worker_config: tuple[Path, ...], output: OutputFormat) -> None:
    """Try what this machine's workers need: the cache, taps, nftables, dnsmasq, a boot, disk space, the clock.

    Everything is tried by doing it, and removed again. Exit code 1 where something fails; each failure says what to do.
    It needs the rights that the workers have: root, as a rule.
    """
    from cli.doctor import examine, findings_table, worker_configs
    from cli.render.values import as_json
    from cli.session import run_command

    configs = worker_config or worker_configs(os.environ)
    found = run_command(lambda: examine(configs))
    click.echo(as_json(found) if output == "json" else findings_table(found))
    sys.exit(0 if all(one.passed for one in found) else 1)
