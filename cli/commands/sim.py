"""`pcr sim`: a fleet that is only pretended, against a real control plane; what runs it is `cli.sim`."""

from datetime import UTC, datetime
from functools import partial

import click

from cli.options import OutputFormat, output_option


@click.command("sim")
@click.option("--workers", type=click.IntRange(1), default=300, show_default=True)
@click.option("--vms", type=click.IntRange(1), default=3000, show_default=True, help="Instances of all VMs together.")
@click.option(
    "--seconds", type=click.FloatRange(1), default=30.0, show_default=True, help="How long reports are timed."
)
@click.option("--interval-ms", type=click.IntRange(100), default=10_000, show_default=True, help="Between two reports.")
@click.option("--replicas", type=click.IntRange(1), default=100, show_default=True, help="Instances of one VM.")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="That pretend to be workers.")
@click.option("--tls", is_flag=True, help="Connect by TLS.")
@output_option
def command(*, output: OutputFormat, **options: int | float | bool) -> None:
    """Run a control plane of its own with a fleet of workers that only pretend to run VMs, and time it.

    Everything else is real: the program, its database, a socket and a key for each worker, leases, reports and
    assignments. The pretended workers leave the control plane the processor where both want it (nice 5). Nothing of it
    outlives the command.
    """
    import trio

    from cli.render.values import as_json
    from cli.sim.options import SimOptions
    from cli.sim.run import simulate

    say = partial(click.echo, err=True)
    asked = SimOptions(**options)  # type: ignore[arg-type] # click has checked them
    found = trio.run(partial(simulate, asked, now=datetime.now(UTC), say=say))  # noqa: TID251 - `pcr` is the app
    click.echo(as_json(found) if output == "json" else found.table())
