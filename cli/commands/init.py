"""`pcr init`: writes the flake and the cluster of a repository, or of several; what they say is `autonix.emit`'s."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from autonix.cache import Cache
    from autonix.emit.files import Generated
    from autonix.emit.flake import Inputs


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--master", is_flag=True, help="PATH holds repositories: one flake and one cluster for all of them.")
@click.option("--dry-run", is_flag=True, help="Show the difference and write nothing.")
@click.option("--force", is_flag=True, help="Also write over files that a person wrote or edited.")
@click.option("--nixpkgs", metavar="URL", help="The flake reference of nixpkgs.")
@click.option("--procurator", metavar="URL", help="The flake reference of Procurator's nix/ directory.")
@click.option("--no-cache", is_flag=True, help="Find everything anew, and keep nothing for the next time.")
def command(
    *,
    path: Path,
    master: bool,
    dry_run: bool,
    force: bool,
    nixpkgs: str | None,
    procurator: str | None,
    no_cache: bool,
) -> None:
    """Write flake.nix and cluster.nix for the repository at PATH, both or none, and show the difference first.

    Works without a network. A file that is not exactly what autonix wrote is kept unless --force is given. With
    --master each directory in PATH is a repository and becomes an input; one that has a flake keeps it.
    """
    import os

    from autonix.cache import user_cache
    from autonix.emit.changes import State, changes
    from autonix.emit.flake import Inputs
    from autonix.emit.writing import existing, write_both
    from cli.render.text import lines
    from schema.errors import Conflict

    default = Inputs()
    inputs = Inputs(nixpkgs=nixpkgs or default.nixpkgs, procurator=procurator or default.procurator)
    cache = None if no_cache else user_cache(os.environ)
    made = _of_all(path, inputs, cache) if master else _of_one(path, inputs, cache)
    wanted = changes(made, existing(path))
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
        first = "" if not master or (path / ".git").exists() else "git init && "
        click.echo(f"wrote {names}; nix sees only what git tracks: {first}git add {names}", err=True)


def _of_one(path: Path, inputs: "Inputs", cache: "Cache | None") -> "Generated":
    from functools import partial

    import trio

    from autonix.emit.files import generated
    from autonix.scan import analyse
    from schema.errors import InvalidInput

    holds = _repositories_held(path)
    if holds > 1:
        raise InvalidInput(
            f"{path} is no repository, but holds {holds}: name one of them, "
            "or write one flake for all of them with --master"
        )
    return generated(trio.run(partial(analyse, path, cache=cache)), inputs)


def _repositories_held(path: Path) -> int:
    """How many repositories a directory holds that is in none itself."""
    if not path.is_dir() or any((each / ".git").exists() for each in (path.absolute(), *path.absolute().parents)):
        return 0
    return sum((each / ".git").exists() for each in path.iterdir() if not each.is_symlink())


def _of_all(path: Path, inputs: "Inputs", cache: "Cache | None") -> "Generated":
    from functools import partial

    import trio

    from autonix.emit.files import FLAKE, is_ours
    from autonix.emit.master import Repository, generated_master
    from autonix.emit.writing import existing
    from autonix.scan import analyse, repositories_in
    from schema.errors import InvalidInput

    found = []
    for directory in repositories_in(path):
        analysis = trio.run(partial(analyse, directory, cache=cache))
        flake = existing(directory)[FLAKE]
        if analysis.projects or analysis.services or analysis.containers or flake is not None:
            has_flake = flake is not None and not is_ours(flake)
            found.append(Repository(directory.name, analysis, _reference(directory), has_flake=has_flake))
    if not found:
        raise InvalidInput(f"{path} holds no repository in which autonix finds anything")
    return generated_master(path.resolve().name, found, inputs)


def _reference(directory: Path) -> str:
    """A flake reference to a directory of this machine: what git tracks where it is a repository."""
    from urllib.parse import quote

    place = quote(str(directory.resolve()))
    return f"git+file://{place}" if (directory / ".git").exists() else f"path:{place}"
