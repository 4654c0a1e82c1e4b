"""`pcr`: the command line of Procurator; it finds the command, and says what went wrong in one line.

Exit codes: 0 done; 1 an expected failure; 2 wrong options; 75 it may work later (a service cannot be reached, or a
deadline passed); 130 Ctrl-C. `pcr rollout wait` has its own beside them.
"""

import sys
from pathlib import Path

import click

from cli.lazy import LazyGroup, fail
from cli.settings import Options
from schema.errors import ProcuratorError

COMMANDS = {
    "audit": ("cli.commands.audit:command", "Show who did what, and whether that record is whole."),
    "completion": ("cli.commands.completion:command", "Print the completion script of a shell."),
    "doctor": ("cli.commands.doctor:command", "Try what this machine's workers need, and say what to do."),
    "down": ("cli.commands.down:command", "Stop the services that `pcr up` runs, and the VMs."),
    "events": ("cli.commands.events:command", "Show what happens in the cluster."),
    "explain": ("cli.commands.explain:command", "Say why an instance is where it is."),
    "generation": ("cli.commands.generation:command", "Look at generations."),
    "graph": ("cli.commands.graph:command", "Show how repositories depend on each other and on services."),
    "hold": ("cli.commands.hold:command", "Look at holds and lift them."),
    "init": ("cli.commands.init:command", "Write flake.nix and cluster.nix for a repository."),
    "rollback": ("cli.commands.rollback:command", "Go back to an earlier generation by hand."),
    "rollout": ("cli.commands.rollout:command", "Look at rollouts and steer them."),
    "scan": ("cli.commands.scan:command", "Show what is in a repository."),
    "sim": ("cli.commands.sim:command", "Time a control plane with a fleet that is only pretended."),
    "status": ("cli.commands.status:command", "Show whether the cluster has converged, its VMs and workers."),
    "token": ("cli.commands.token:command", "Make, list and revoke tokens."),
    "tui": ("cli.commands.tui:command", "Show the cluster live in a terminal."),
    "up": ("cli.commands.up:command", "Run all services of a cluster on this machine."),
    "vm": ("cli.commands.vm:command", "Look at VMs."),
    "volume": ("cli.commands.volume:command", "Act on volumes."),
    "worker": ("cli.commands.worker:command", "Look at workers, let them in, and take them out of service."),
}


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from schema.service import procurator_version

        click.echo(f"pcr {procurator_version()}")
        context.exit()


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--connect", metavar="ADDRESS", help="The control plane: unix:/path, /path or host:port.")
@click.option("--socket", type=click.Path(path_type=Path), help="The control plane's unix socket.")
@click.option("--token-file", type=click.Path(path_type=Path), help="The token for host:port (mode 0600).")
@click.option("--ca", type=click.Path(path_type=Path), help="The CA of host:port's certificate: TLS.")
@click.option("--ci", metavar="URL", help="CI, for builds.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings; default ~/.config/procurator/cli.toml.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="And exit.")
@click.pass_context
def pcr(
    context: click.Context,
    *,
    connect: str | None,
    socket: Path | None,
    token_file: Path | None,
    ca: Path | None,
    ci: str | None,
    config: Path | None,
) -> None:
    """Procurator: a fleet of NixOS microVMs from Git.

    Without --connect, the cluster of `pcr up` on this machine is meant ($PROCURATOR_STATE, else its default state
    directory). Every option is also a key of cli.toml and a variable (PROCURATOR_CLI__CONTROL_PLANE__ADDRESS).
    """
    if connect is not None and socket is not None:
        raise click.UsageError("--connect and --socket name the same thing: give one")
    address = f"unix:{socket.absolute()}" if socket is not None else connect
    context.obj = Options(connect=address, config=config, token_file=token_file, ca=ca, ci=ci)


def main() -> None:
    """The program `pcr`."""
    try:
        pcr(prog_name="pcr")
    except ProcuratorError as error:
        sys.exit(fail("pcr", error))


if __name__ == "__main__":
    main()
