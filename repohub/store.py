"""The bare repositories on disk, which are the only record of what exists; it serves none of them.

    <directory>/repositories/<owner>/<name>.git     a repository: made whole beside, then renamed into place

A project's facts (its default branch) are the repository's own (HEAD), so there is nothing beside it that could
disagree. A database comes with people and rights.
"""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import trio

from nix.git_locks import clear_git_locks
from nix.run import run
from repohub import hooks
from repohub.cgi import GitLimits, git_config, git_environment
from repohub.names import branch_name, repository_name
from repohub.outbox import Outbox, write_durably
from repohub.updates import refs_of
from schema.disk import sync_directory
from schema.errors import Conflict, InvalidInput, NotFound

GIT_SECONDS = 60.0
"""Deadline of the short git commands here."""
GC_SECONDS = 1800.0
_HOOKS = ("pre-receive", "post-receive")
_STAGING = ".new-"
_SOURCE = Path(hooks.__file__).with_name("receive.py")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: its `owner/name` and the branch that HEAD names."""

    name: str
    default_branch: str


@dataclass(frozen=True, slots=True)
class RepositoryStore:
    """The repositories below `directory`."""

    directory: Path
    limits: GitLimits

    @property
    def root(self) -> Path:
        """What holds the owners' directories."""
        return self.directory / "repositories"

    def path(self, name: str) -> Path:
        """Where the repository of an allow-listed name is, or would be."""
        return self.root / f"{name}.git"

    def outbox(self, name: str) -> Outbox:
        """Its notes for CI."""
        return Outbox(self.path(name))

    def environment(self, name: str) -> dict[str, str]:
        """The whole environment for a git that works on this repository."""
        path = self.path(name)
        config = git_config(hooks=str(path / "hooks"), repository=str(path), limits=self.limits)
        return git_environment(config, path=os.environ.get("PATH", os.defpath), home=str(self.directory))

    def get(self, name: str) -> Repository:
        """The repository of that name. Raises NotFound, InvalidInput."""
        path = self.path(repository_name(name))
        try:
            head = (path / "HEAD").read_text(encoding="utf-8", errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f'there is no repository {name}; make it by POST /api/repositories {{"name": "{name}"}}'
            ) from None
        return Repository(name=name, default_branch=head.removeprefix("ref: refs/heads/"))

    def all(self) -> tuple[Repository, ...]:
        """Every repository, by name."""
        found = []
        for head in sorted(self.root.glob("*/*.git/HEAD")):
            name = f"{head.parent.parent.name}/{head.parent.name.removesuffix('.git')}"
            try:
                found.append(self.get(name))
            except (InvalidInput, NotFound):
                continue
        return tuple(found)

    async def create(self, name: str, *, default_branch: str = "main", staging: str) -> tuple[Repository, bool]:
        """The repository of that name, and whether it was made now; one that is there stays as it is.

        `staging` is a unique word for the directory beside. Raises InvalidInput, and Conflict when it is there with
        another default branch.
        """
        wanted = Repository(name=repository_name(name), default_branch=branch_name(default_branch))
        if not self.path(name).exists():
            beside = self.root / f"{_STAGING}{staging}"
            try:
                await self._make(beside, wanted)
                if await trio.to_thread.run_sync(self._put_in_place, beside, self.path(name)):
                    return wanted, True
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        there = self.get(name)
        if there.default_branch != wanted.default_branch:
            raise Conflict(f"{name} exists with the default branch {there.default_branch}")
        return there, False

    async def _make(self, beside: Path, wanted: Repository) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        argv = ["git", "init", "--quiet", "--bare", "--template=", f"--initial-branch={wanted.default_branch}"]
        await run(
            [*argv, "--", str(beside)],
            deadline=GIT_SECONDS,
            env=self.environment(wanted.name),
            cwd=self.root,
        )
        await trio.to_thread.run_sync(self.install_hooks, beside)

    @staticmethod
    def _put_in_place(beside: Path, path: Path) -> bool:
        """Whether it was this one that came to stand at `path`; somebody else may have been quicker."""
        for directory in ("procurator/outbox", "procurator/aside", "objects/info", "refs/heads"):
            (beside / directory).mkdir(parents=True, exist_ok=True)
        for file in ("HEAD", "config"):
            write_durably(beside / file, (beside / file).read_bytes())
        path.parent.mkdir(exist_ok=True)
        sync_directory(path.parent.parent)
        try:
            beside.rename(path)
        except OSError:
            if not path.exists():
                raise
            return False
        sync_directory(path.parent)
        return True

    @staticmethod
    def install_hooks(repository: Path) -> None:
        """Write our hook where this repository has another one, each file replaced as a whole.

        A shell script names the interpreter: what may stand behind `#!` is short and without spaces.
        """
        python = shlex.quote(sys.executable)
        for hook in _HOOKS:
            start = f'#!/bin/sh\nexec {python} -IS "${{0%/*}}/receive.py" {hook}\n'
            _replace(repository / "hooks" / hook, start.encode(), mode=0o755)
        _replace(repository / "hooks" / "receive.py", _SOURCE.read_bytes(), mode=0o644)

    def tidy(self) -> None:
        """At start: remove what a killed process left half-made or locked, and bring every hook up to date."""
        self.root.mkdir(parents=True, exist_ok=True)
        for leftover in self.root.glob(f"{_STAGING}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for repository in self.all():
            clear_git_locks(self.path(repository.name))
            self.install_hooks(self.path(repository.name))
            self.outbox(repository.name).clear_temporary()

    async def refs(self, name: str) -> dict[str, str]:
        """Its refs and the objects that they name."""
        listing = await run(
            ["git", "for-each-ref", "--format=%(objectname) %(refname)"],
            deadline=GIT_SECONDS,
            env=self.environment(name),
            cwd=self.path(name),
        )
        return refs_of(listing.stdout)

    async def collect(self, name: str) -> None:
        """Pack what many pushes left loose, where git finds that worth while; objects in use are never touched."""
        argv = ["git", "-c", "gc.auto=2000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"]
        await run(argv, deadline=GC_SECONDS, env=self.environment(name), cwd=self.path(name), check=False)


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    if not path.is_file() or path.read_bytes() != content or path.stat().st_mode & 0o777 != mode:
        write_durably(path, content, mode=mode)
