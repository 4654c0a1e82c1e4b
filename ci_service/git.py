"""Fetch one pushed commit into CI's own bare repository by the real git; it checks nothing out.

Submodules are never followed, hooks never run, and only http(s) transports are allowed
(CVE-2018-11235, CVE-2024-32002, CVE-2025-48384 and their kind).
"""

from dataclasses import dataclass
from pathlib import Path

from nix.run import Completed, run
from schema.errors import CommandFailed, InvalidInput
from schema.names import printable

GIT_TIMEOUT = 30.0


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

    async def fetch(self, *, repository: str, sha: str, run_id: int) -> Commit:
        """Bring `sha` of `repository` here and keep it as the run's ref.

        Raises InvalidInput when the repository does not have it, DeadlineExceeded when it takes too long.
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
            raise InvalidInput(f"cannot fetch {sha} of {repository}: {reason}") from error
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
            bare.mkdir(parents=True, exist_ok=True)
            await self._git(bare, "init", "--quiet", "--bare", "--template=")

    async def _git(self, bare: Path, *arguments: str, deadline: float = GIT_TIMEOUT) -> Completed:
        argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", f"--git-dir={bare}", *arguments]
        return await run(argv, deadline=deadline, env=git_env(self.directory))
