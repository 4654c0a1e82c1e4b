"""A started program, its pipes, and its end as an event.

trio starts programs from a thread that it lets go of after ten idle seconds, and the kernel takes that thread's end for
the end of the parent: what asked to die with its parent (`bwrap --die-with-parent`, `setpriv --pdeathsig`) is killed in
the middle of its work (tried; prctl(2), PR_SET_PDEATHSIG). So programs are started here from the thread of trio.run.
"""

import os
import subprocess  # noqa: TID251 - this module starts what `run` runs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import trio

WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
"""In front of an argv: SIGTERM when this process ends, however it ends, so that git lets go of its locks first."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running program; whoever starts it waits for it."""

    popen: subprocess.Popen[bytes]
    stdin: trio.abc.SendStream | None
    stdout: trio.abc.ReceiveStream | None
    stderr: trio.abc.ReceiveStream | None

    @property
    def pid(self) -> int:
        """Its process id, and that of its group and session."""
        return self.popen.pid

    def poll(self) -> int | None:
        """Its exit code, minus the signal's number where one ended it; None while it runs."""
        return self.popen.poll()

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        self.popen.send_signal(number)

    async def wait(self) -> int:
        """Its exit code, once there is one. Any number of tasks may wait."""
        if self.popen.poll() is None:
            end = os.pidfd_open(self.pid)
            try:
                await trio.lowlevel.wait_readable(end)
            finally:
                trio.lowlevel.notify_closing(end)
                os.close(end)
        else:
            await trio.lowlevel.checkpoint()
        return self.popen.wait()


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    streams: tuple[int | None, int | None, int | None],
) -> Child:
    """Start `argv` as the leader of a session; `streams` are as subprocess.Popen takes them. Blocks until its exec."""
    stdin, stdout, stderr = streams
    popen = subprocess.Popen(
        list(argv), stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=dict(env), start_new_session=True
    )
    return Child(popen, _ours(popen.stdin), _ours(popen.stdout), _ours(popen.stderr))


def _ours(pipe: IO[bytes] | None) -> trio.lowlevel.FdStream | None:
    if pipe is None:
        return None
    with pipe:
        return trio.lowlevel.FdStream(os.dup(pipe.fileno()))
