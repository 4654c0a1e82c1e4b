"""The one subprocess runner: nix, git, mkfs and their like run here; it knows nothing of what they print.

Hypervisors are not started here: they outlive their starter, and belong to the VM shim.
"""

import os
import shutil
import signal
import subprocess  # noqa: TID251 - this module is the owner
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from nix.child import WITH_US, Child, start
from schema.errors import CommandFailed, DeadlineExceeded, InvalidInput, NotFound, PermissionDenied, TooLarge

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes that one stream of a command may yield."""

_LAST_BYTES = 1.0
"""Seconds for the rest of the pipes once the group is gone; longer only if someone who left the group holds them."""

_POLL = 0.02


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command that ended left behind. `returncode` is minus the signal's number where one ended it."""

    argv: tuple[str, ...]
    cwd: Path | None
    returncode: int
    stdout: bytes
    stderr: bytes


async def run(
    argv: Sequence[str],
    *,
    deadline: float,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes | None = None,
    on_stderr_line: Callable[[str], None] | None = None,
    check: bool = True,
    max_output: int = MAX_OUTPUT,
    with_us: bool = True,
) -> Completed:
    """Run `argv` to its end, at most `deadline` seconds; nothing of its process group is left afterwards.

    `env` is the whole environment; only PATH is taken from ours where it is absent. `on_stderr_line` sees each line
    of stderr, without its newline, as it comes. `with_us` ends it (SIGTERM) when this process dies before it, at the
    cost of one more exec, about 1 ms. Raises `CommandFailed` (with `check`), `DeadlineExceeded`, `TooLarge`
    (a stream yielded more than `max_output` bytes), `NotFound` (no such program or `cwd`).
    """
    output, errors = _Sink(limit=max_output), _Sink(limit=max_output, on_line=on_stderr_line)
    returncode: int | None = None
    with trio.move_on_after(deadline) as scope:
        async with _pumped(argv, env=env, cwd=cwd, stdin=stdin, sinks=(output, errors), with_us=with_us) as process:
            returncode = await process.wait()
    for name, sink in (("stdout", output), ("stderr", errors)):
        if sink.overflowed:
            raise TooLarge(f"{_readable(argv)}: more than {max_output} bytes on {name}")
    if returncode is None or scope.cancelled_caught:
        raise DeadlineExceeded(f"{_readable(argv)}: not done within {deadline:g} s; its processes were ended")
    if check and returncode != 0:
        raise CommandFailed(
            argv=argv,
            cwd=str(cwd) if cwd else None,
            returncode=returncode,
            stdout=bytes(output.data),
            stderr=bytes(errors.data),
        )
    return Completed(tuple(argv), cwd, returncode, bytes(output.data), bytes(errors.data))


@asynccontextmanager
async def open_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int | None = subprocess.PIPE,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    grace: float = GRACE,
    with_us: bool = False,
) -> AsyncIterator[Child]:
    """A running process, in a session and process group of its own, with pipes that the caller reads and writes.

    However the block is left, its whole group is ended (SIGTERM, `grace` seconds, SIGKILL) and the process reaped;
    a caller who wants a normal end waits for it inside. A stream that is None here is /dev/null, never ours.
    `with_us` is as in `run`. Raises `NotFound`, `PermissionDenied` or `InvalidInput` where it cannot be started.
    """
    process = _start(argv, env=env, cwd=cwd, streams=(stdin, stdout, stderr), with_us=with_us)
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            await _end_group(process, grace=grace)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()


@dataclass(slots=True)
class _Sink:
    """Collects one stream up to `limit` bytes and cuts it into lines for whoever listens."""

    limit: int
    on_line: Callable[[str], None] | None = None
    data: bytearray = field(default_factory=bytearray)
    overflowed: bool = False
    _line: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes | bytearray) -> None:
        if len(self.data) + len(chunk) > self.limit:
            self.overflowed = True
            return
        self.data += chunk
        if self.on_line is not None:
            *lines, rest = (self._line + chunk).split(b"\n")
            self._line = bytearray(rest)
            for line in lines:
                self.on_line(line.decode(errors="replace"))

    def end(self) -> None:
        if self.on_line is not None and self._line:
            self.on_line(self._line.decode(errors="replace"))
            self._line.clear()


@asynccontextmanager
async def _pumped(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    stdin: bytes | None,
    sinks: tuple[_Sink, _Sink],
    with_us: bool,
) -> AsyncIterator[Child]:
    """A process whose pipes are fed and drained until both outputs have ended."""
    pipe_in = None if stdin is None else subprocess.PIPE
    async with open_process(argv, env=env, cwd=cwd, stdin=pipe_in, with_us=with_us) as process:
        killed = partial(process.send_signal, signal.SIGKILL)
        async with trio.open_nursery() as nursery:
            if process.stdin is not None:
                nursery.start_soon(_write, process.stdin, stdin or b"")
            for stream, sink in zip((process.stdout, process.stderr), sinks, strict=True):
                if stream is not None:
                    nursery.start_soon(_drain, stream, sink, killed)
            yield process
            # What the leader left running may still hold the pipes: end it, then take what is in them.
            await _end_group(process, grace=GRACE)
            nursery.cancel_scope.deadline = trio.current_time() + _LAST_BYTES


async def _write(stream: trio.abc.SendStream, data: bytes) -> None:
    async with stream:
        try:
            await stream.send_all(data)
        except trio.BrokenResourceError:
            return  # it did not want to read all of it: its exit code says whether that was right


async def _drain(stream: trio.abc.ReceiveStream, sink: _Sink, kill: Callable[[], None]) -> None:
    async for chunk in stream:
        sink.feed(chunk)
        if sink.overflowed:
            kill()
            return
    sink.end()


def _start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    streams: tuple[int | None, int | None, int | None],
    with_us: bool,
) -> Child:
    if not argv or any("\0" in word for word in argv):
        raise InvalidInput(f"not a command: {list(argv)!r}")
    stdin, stdout, stderr = (subprocess.DEVNULL if stream is None else stream for stream in streams)
    environment = {"PATH": os.environ.get("PATH", os.defpath), **env}
    can_start = shutil.which(argv[0], path=environment["PATH"]) is not None  # what cannot is named by its own exec
    words = (*WITH_US, *argv) if with_us and can_start else argv
    try:
        return start(words, env=environment, cwd=cwd, streams=(stdin, stdout, stderr))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{argv[0]} cannot be run: {error.strerror}: {error.filename}") from error
    except PermissionError as error:
        raise PermissionDenied(f"{argv[0]} cannot be run: {error.strerror}: {error.filename}") from error


async def _end_group(process: Child, *, grace: float) -> None:
    """End and reap `process` and whoever is left of its group; the group's id is its pid (`start_new_session`)."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, grace)):
        if not _signal_group(process.pid, number):
            break
        with trio.move_on_after(patience):
            await process.wait()
            while _signal_group(process.pid, 0):  # noqa: ASYNC110 - nobody tells us when a group becomes empty
                await trio.sleep(_POLL)
            break
    await process.wait()


def _signal_group(group: int, number: int) -> bool:
    """Signal the group; whether anyone in it lives. Zombies whose reaping is init's affair do not count."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return any(_is_alive_in(group, stat) for stat in Path("/proc").glob("[0-9]*/stat"))


def _is_alive_in(group: int, stat: Path) -> bool:
    try:
        state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:  # it ended meanwhile
        return False
    return int(its_group) == group and state not in "ZX"


def _readable(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= 300 else text[:297] + "..."
