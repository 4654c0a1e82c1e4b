"""Makes throw-away clones of the example cluster, with this machine's paths and a lock, and commits to them.

`python -m nix.example PARTS DIRECTORY` makes one to push by hand. It creates no repository and pushes nothing.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from nix import argv as argvs
from nix.environment import NixEnvironment
from nix.flake import FlakeRef, local_path
from nix.own_store import enter_own_store
from nix.run import run
from schema.errors import Conflict, ProcuratorError

EXAMPLE = Path(__file__).parents[1] / "example"
LIBRARY = Path(__file__).parent / "lib"
"""The Nix library of this checkout."""

BRANCH = "main"

VARIANTS = ("healthy", "unhealthy", "failing-build", "failing-evaluation", "failing-check", "ignores-power-button")
"""What `example/variant.nix` may say; what each does is in the example's README."""

_LIBRARY_URL = "path:/var/lib/procurator/lib"
_PARTS_URL = "path:/var/lib/procurator/parts"
_IDENTITY: Mapping[str, str] = {
    "GIT_AUTHOR_NAME": "Procurator",
    "GIT_AUTHOR_EMAIL": "procurator@localhost",
    "GIT_COMMITTER_NAME": "Procurator",
    "GIT_COMMITTER_EMAIL": "procurator@localhost",
}
_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Clone:
    """A git work tree of the example on branch `main`, and the nix that made its lock."""

    path: Path
    nix: NixEnvironment

    async def git(self, *arguments: str) -> str:
        """Run git in the clone; its output without the last newline."""
        env = {**self.nix.env, **_IDENTITY}
        done = await run(("git", *arguments), deadline=_DEADLINE, env=env, cwd=self.path)
        return done.stdout.decode().rstrip("\n")

    async def commit(self, message: str) -> str:
        """Commit all that changed; the commit's full hash."""
        await self.git("add", "--all")
        await self.git("commit", "--quiet", "--message", message)
        return await self.head()

    async def head(self) -> str:
        """The newest commit's full hash."""
        return await self.git("rev-parse", "HEAD")

    async def flake(self) -> FlakeRef:
        """The flake at the newest commit, to evaluate it here."""
        return FlakeRef(self.path, f"refs/heads/{BRANCH}", await self.head())

    async def push(self, url: str) -> None:
        """Push the branch to `url`."""
        await self.git("push", "--quiet", "--", url, BRANCH)

    def set_variant(self, variant: str) -> None:
        """Choose one of `VARIANTS`; takes effect with the next commit."""
        if variant not in VARIANTS:
            raise ValueError(f"no such variant of the example: {variant!r} (there are {', '.join(VARIANTS)})")
        file = self.path / "variant.nix"
        comments = [line for line in file.read_text().splitlines() if line.startswith("#")]
        file.write_text("\n".join([*comments, f'"{variant}"', ""]))

    def set_text(self, text: str) -> None:
        """Put `text` (HTML) on the page of the web VMs; takes effect with the next commit."""
        (self.path / "web/index.html").write_text(
            f'<!doctype html>\n<html lang="en">\n<title>Procurator</title>\n<p>{text}</p>\n</html>\n'
        )


async def prepare_clone(
    source: Path,
    target: Path,
    parts: Path,
    *,
    nix: NixEnvironment,
    library: Path = LIBRARY,
    message: str = "The example cluster",
) -> Clone:
    """Copy the example from `source` to `target` (which must not exist), fill in where parts and library are, lock,
    and commit with a fixed identity. Evaluation then needs `parts` and `library` as its jail's allowed paths.
    """
    await trio.to_thread.run_sync(lambda: _copy(source, target, parts=parts, library=library))
    clone = Clone(target, nix)
    await clone.git("init", "--quiet", f"--initial-branch={BRANCH}")
    await clone.git("add", "--all")
    await run(argvs.flake_lock(target), deadline=_DEADLINE, env=nix.env, cwd=target)
    await clone.commit(message)
    return clone


def _copy(source: Path, target: Path, *, parts: Path, library: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".git", "flake.lock", "nixos", "__pycache__"))
    flake = target / "flake.nix"
    text = flake.read_text()
    for url, path in ((_LIBRARY_URL, library), (_PARTS_URL, parts)):
        if url not in text:
            raise ValueError(f"{flake} does not name {url}")
        text = text.replace(url, f"path:{local_path(path)}")
    flake.write_text(text)


async def make_clone(parts: Path, target: Path) -> None:
    """A clone of the example at `target`, in which a person can commit. Raises Conflict when something is there."""
    if target.exists():
        raise Conflict(f"{target} is there already; choose another directory")
    with TemporaryDirectory(prefix="procurator-example-") as work:
        clone = await prepare_clone(EXAMPLE, target, parts, nix=NixEnvironment(Path(work)).write())
        for key, value in (("user.name", "Procurator"), ("user.email", "procurator@localhost")):
            await clone.git("config", key, value)


def main(arguments: Sequence[str]) -> int:
    """The command line; 2 for a wrong one, 1 for what could not be done."""
    if len(arguments) != 2 or any(word.startswith("-") for word in arguments):
        print("usage: python -m nix.example PARTS DIRECTORY", file=sys.stderr)
        return 2
    parts, target = (Path(word).absolute() for word in arguments)
    try:
        enter_own_store(os.environ)
        trio.run(make_clone, parts, target)
    except (ProcuratorError, OSError) as error:
        print(f"nix.example: {error}", file=sys.stderr)
        return 1
    print(f"{target} is a clone of the example, on branch {BRANCH}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
