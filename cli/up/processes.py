"""Start, recognise, await and stop the services' processes, which outlive a killed `pcr up`; it decides nothing.

They are no children to be tidied away with their parent, so `nix.run` is not for them: each leads a session of its
own, and is known by its pid with its start time, which together name one process of one boot of the machine.
"""

import os
import signal
import subprocess  # noqa: TID251 - these processes have to outlive their starter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import trio
from pydantic import BaseModel, ConfigDict

GRACE_SECONDS = 15.0
"""How long a service has to stop after SIGTERM, before its process group is killed."""

_START_TIME_FIELD = 19
"""Of `/proc/PID/stat` behind the command's closing parenthesis, from 0 (field 22 in proc(5))."""


class ProcessId(BaseModel):
    """One process for good: its pid, its start time in clock ticks since boot, and the boot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: int
    boot: str


def boot_id() -> str:
    """What the machine calls its present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> ProcessId | None:
    """The process that has `pid` now; None when there is none, or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    return ProcessId(pid=pid, started=int(fields[_START_TIME_FIELD]), boot=boot_id())


def own_process() -> ProcessId:
    """We ourselves."""
    own = identify(os.getpid())
    assert own is not None, "a process that asks has a start time"  # noqa: S101 - narrows the type
    return own


def with_arguments(arguments: Collection[str]) -> set[ProcessId]:
    """Every process, but ourselves, that has one of `arguments` as an argument."""
    found: set[ProcessId] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if not {os.fsdecode(word) for word in words}.isdisjoint(arguments) and int(entry.name) != os.getpid():
            found |= {process for process in [identify(int(entry.name))] if process is not None}
    return found


def is_alive(process: ProcessId) -> bool:
    """Whether it still runs."""
    return identify(process.pid) == process


def spawn(argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path) -> ProcessId:
    """Start a service in a session of its own, its output appended to `log` (0600)."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    child.returncode = 0  # we wait by pid; Popen shall not warn about, or reap, a child that it forgets
    process = identify(child.pid)
    return process or ProcessId(pid=child.pid, started=0, boot=boot_id())


async def wait_ended(process: ProcessId) -> int | None:
    """Wait for its end: its exit code (minus the signal's number), or None when it was not our child."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return _reap(process.pid)
    try:
        if is_alive(process):
            await trio.lowlevel.wait_readable(descriptor)
        return _reap(process.pid)
    finally:
        os.close(descriptor)


def _reap(pid: int) -> int | None:
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if reaped else None


async def stop(process: ProcessId, *, grace: float = GRACE_SECONDS) -> None:
    """End it: SIGTERM, and after `grace` seconds SIGKILL for its whole group. Nothing when it has ended already."""
    if not is_alive(process):
        return
    os.kill(process.pid, signal.SIGTERM)
    with trio.move_on_after(grace):
        await wait_ended(process)
        return
    os.killpg(process.pid, signal.SIGKILL)
    await wait_ended(process)
