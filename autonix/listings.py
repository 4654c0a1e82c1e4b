"""What git lists, however much it is: it writes into memory of ours, not through a pipe a page at a time."""

import os
import resource
from collections.abc import Sequence
from mmap import PROT_READ, mmap
from pathlib import Path
from typing import Final

import trio

from nix.run import open_process
from schema.errors import CommandFailed, DeadlineExceeded, TooLarge

MAX_LISTING: Final = 256 * 1024 * 1024
"""Bytes of a list, some three million paths."""
GIT_DEADLINE: Final = 30.0
GIT_ENV: Final = {
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
GIT: Final = (
    "git",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "safe.directory=*",
    "-c",
    "protocol.allow=never",
)


async def listed(
    directory: Path, words: Sequence[str], *, deadline: float = GIT_DEADLINE, most: int = MAX_LISTING
) -> bytes:
    """What a command of git in `directory` prints. `deadline` is in seconds, `most` in bytes.

    Raises `CommandFailed`, `DeadlineExceeded`, `TooLarge`, and `NotFound` where there is no git or no such directory.
    """
    return (await mapped(directory, words, deadline=deadline, most=most))[:]


async def mapped(
    directory: Path, words: Sequence[str], *, deadline: float = GIT_DEADLINE, most: int = MAX_LISTING
) -> bytes | mmap:
    """The same as it lies in memory, for a reader who takes it piece by piece."""
    argv = (*GIT, *words)
    memory = os.memfd_create("listing", os.MFD_CLOEXEC)
    try:
        with trio.move_on_after(deadline) as scope:
            async with open_process(argv, env=GIT_ENV, cwd=directory, stdin=None, stdout=memory, stderr=None) as git:
                resource.prlimit(git.pid, resource.RLIMIT_FSIZE, (most, most))
                returncode = await git.wait()
        if scope.cancelled_caught:
            raise DeadlineExceeded(f"git {words[0]} in {directory}: not done within {deadline:g} s")
        size = os.fstat(memory).st_size
        if size >= most:
            raise TooLarge(f"git {words[0]} in {directory}: {most} bytes or more")
        if returncode != 0:
            raise CommandFailed(argv=argv, cwd=str(directory), returncode=returncode, stdout=b"", stderr=b"")
        return mmap(memory, size, prot=PROT_READ) if size else b""
    finally:
        os.close(memory)
