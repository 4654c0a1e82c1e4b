"""A nix store of a user's own, for development without root: a mount namespace in which their directory is `/nix`.

Store paths are named after `/nix/store` wherever they lie, so a store elsewhere could not be told from the machine's
inside a build. Nothing else of the machine looks different in there, and processes and sockets are everybody's.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nix.flake import local_path
from nix.jail import STORE
from schema.errors import Unavailable

_ENTERED = "PROCURATOR_OWN_STORE"
"""Set where we have been here already: a store that cannot be written to must not make us try for ever."""


def own_store(environ: Mapping[str, str]) -> Path:
    """Where the user's own `/nix` is kept."""
    data = environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local/share") / "procurator" / "nix"


def own_store_argv(argv: Sequence[str], *, own: Path, top: Iterable[tuple[Path, str | None]]) -> tuple[str, ...]:
    """`argv` where `own` is `/nix`. `top` is each entry of `/`, with what it says where it is a link."""
    binds: list[str] = []
    for path, link in top:
        if path != STORE:
            binds += ["--dev-bind", str(path), str(path)] if link is None else ["--symlink", link, str(path)]
    return ("bwrap", *binds, "--bind", str(local_path(own)), str(STORE), "--chdir", str(Path.cwd()), "--", *argv)


def enter_own_store(environ: Mapping[str, str]) -> None:
    """Become this same program again where `/nix` is the user's own; returns at once where it can be written to.

    Raises Unavailable where nix itself would not be seen any more, or there is no bubblewrap.
    """
    if os.geteuid() == 0 or os.access(STORE / "store", os.W_OK):
        return
    if _ENTERED in environ:
        raise Unavailable(f"{own_store(environ)} cannot be written to")
    program = shutil.which("nix", path=environ.get("PATH"))
    if program is not None and Path(program).resolve().is_relative_to(STORE):
        raise Unavailable(f"{program} is in {STORE}, which belongs to somebody else; install nix-bin, or run as root")
    bwrap = shutil.which("bwrap", path=environ.get("PATH"))
    if bwrap is None:
        raise Unavailable("bwrap is not installed (Debian: bubblewrap), and without root a nix store is made with it")
    own = own_store(environ)
    (own / "store").mkdir(parents=True, exist_ok=True, mode=0o755)
    top = [(path, str(path.readlink()) if path.is_symlink() else None) for path in sorted(Path("/").iterdir())]
    argv = own_store_argv((sys.executable, *sys.orig_argv[1:]), own=own, top=top)
    sys.stdout.flush()
    os.execve(bwrap, argv, {**environ, _ENTERED: "1"})  # noqa: S606 - no shell is the point
