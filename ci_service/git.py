"""Fetch one pushed commit into CI's own bare repository by the real git; it checks nothing out.

Submodules are never followed, hooks never run, and only http(s) transports are allowed
(CVE-2018-11235, CVE-2024-32002, CVE-2025-48384 and their kind).
"""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import trio

from nix.git_locks import clear_git_locks
from nix.run import Completed, run
from schema.errors import CommandFailed, InvalidInput, Unavailable
from schema.names import printable

log = logging.getLogger(__name__)

GIT_TIMEOUT = 30.0

PASSING = (
    "Failed to connect",
    "Could not resolve",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Empty reply from server",
    "The requested URL returned error: 5",
    "RPC failed",
    "early EOF",
    "unexpected disconnect",
)
"""What git and its libcurl say of a server that is away, and may be back: repohub while it is started again."""

_STAGING = ".new"
"""The end of the directory that a repository is made in, beside where it comes to stand."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A fetched commit: its repository on disk, the ref that holds it, who wrote it (untrusted, printable text).

    `directory` is where its flake is in it.
    """

    repository: Path
    ref: str
    sha: str
    subject: str
    author: str
    directory: str = "."


def ref_of_run(run_id: int) -> str:
    """The ref that keeps a run's commit: `refs/procurator/<run>`."""
    return f"refs/procurator/{run_id}"


def git_env(home: Path) -> dict[str, str]:
    """The whole environment of every git process here: no system or user config, no prompt, http(s) only."""
    return {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_ALLOW_PROTOCOL": "http:https",
        "LC_ALL": "C.UTF-8",
    }


@dataclass(frozen=True, slots=True)
class GitFetcher:
    """CI's bare repositories below `directory`, filled from repositories below `base_url`."""

    directory: Path
    base_url: str
    deadline: float

    def tidy(self) -> None:
        """At start, before anything is fetched: remove what a killed CI's git left half-made or locked."""
        for unfinished in self.directory.glob(f"*/*{_STAGING}"):
            shutil.rmtree(unfinished)
        for bare in self.directory.glob("*/*.git"):
            for lock in clear_git_locks(bare):
                log.warning("removed %s, which a killed git had left", lock)

    async def fetch(self, *, repository: str, sha: str, run_id: int) -> Commit:
        """Bring `sha` of `repository` here and keep it as the run's ref.

        Raises InvalidInput when the repository does not have it, Unavailable when it cannot be reached now,
        DeadlineExceeded when it takes too long.
        """
        bare = self.directory / f"{repository}.git"
        await self._ensure_bare(bare)
        ref = ref_of_run(run_id)
        try:
            await self._git(
                bare,
                "-c",
                "fetch.fsckObjects=true",
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
                "--end-of-options",
                f"{self.base_url.rstrip('/')}/{repository}.git",
                f"+{sha}:{ref}",
                deadline=self.deadline,
            )
        except CommandFailed as error:
            reason = printable(error.stderr.decode(errors="replace")).strip() or f"git exited with {error.returncode}"
            kind = Unavailable if any(words in reason for words in PASSING) else InvalidInput
            raise kind(f"cannot fetch {sha} of {repository}: {reason}") from error
        shown = await self._git(bare, "show", "--no-patch", "--format=%s%n%an", "--end-of-options", f"{ref}^{{commit}}")
        subject, _, author = printable(shown.stdout.decode(errors="replace")).partition("\n")
        return Commit(bare, ref, sha, subject[:200].strip(), author.splitlines()[0][:100] if author.strip() else "")

    async def forget(self, *, repository: str, run_id: int) -> None:
        """Let go of a run's commit; git's own gc collects what nothing refers to."""
        bare = self.directory / f"{repository}.git"
        if (bare / "HEAD").exists():
            await self._git(bare, "update-ref", "-d", ref_of_run(run_id))

    async def _ensure_bare(self, bare: Path) -> None:
        if not (bare / "HEAD").exists():
            unfinished = bare.with_name(bare.name + _STAGING)
            unfinished.mkdir(parents=True, exist_ok=True)
            await self._git(unfinished, "init", "--quiet", "--bare", "--template=")
            await trio.to_thread.run_sync(_put_in_place, unfinished, bare)

    async def _git(self, bare: Path, *arguments: str, deadline: float = GIT_TIMEOUT) -> Completed:
        argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", f"--git-dir={bare}", *arguments]
        return await run(argv, deadline=deadline, env=git_env(self.directory))


def _put_in_place(unfinished: Path, bare: Path) -> None:
    """Rename a repository that was made whole; git syncs neither its HEAD nor its config."""
    for file in (path for path in unfinished.iterdir() if path.is_file()):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    unfinished.rename(bare)
