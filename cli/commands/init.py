"""`pcr init`: writes the flake and the cluster of a repository; what they say is `autonix.emit`'s."""

from pathlib import Path

import click


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--dry-run", is_flag=True, help="Show the difference and write nothing.")
@click.option("--force", is_flag=True, help="Also write over files that a person wrote or edited.")
@click.option("--nixpkgs", metavar="URL", help="The flake reference of nixpkgs.")
@click.option("--procurator", metavar="URL", help="The flake reference of Procurator's nix/ directory.")
def command(*, path: Path, dry_run: bool, force: bool, nixpkgs: str | None, procurator: str | None) -> None:
    """Write flake.nix and cluster.nix for the repository at PATH, both or none, and show the difference first.

    Works without a network. A file that is not exactly what autonix wrote is kept unless --force is given.
    """
    import trio

    from autonix.emit.changes import State, changes
    from autonix.emit.files import generated
    from autonix.emit.flake import Inputs
    from autonix.emit.writing import existing, write_both
    from autonix.scan import analyse
    from cli.render.text import lines
    from schema.errors import Conflict

    default = Inputs()
    inputs = Inputs(nixpkgs=nixpkgs or default.nixpkgs, procurator=procurator or default.procurator)
    wanted = changes(generated(trio.run(analyse, path), inputs), existing(path))
    for change in wanted:
        if change.difference:
            click.echo(lines(change.difference), nl=False)
    edited = [change.name for change in wanted if not change.state.may_be_written_over]
    if edited and not force and not dry_run:
        raise Conflict(
            f"{' and '.join(edited)} in {path} was not written by autonix, or was edited since: nothing was written. "
            "The difference is above; --force writes over it"
        )
    pending = [change for change in wanted if change.state is not State.SAME]
    if not pending:
        click.echo("nothing to do: both files are as autonix would write them", err=True)
    elif dry_run:
        click.echo("nothing was written (--dry-run)", err=True)
    else:
        write_both(path, pending)
        names = " ".join(change.name for change in pending)
        click.echo(f"wrote {names}; nix sees only what git tracks: git add {names}", err=True)
