"""What the kernel says about processes that tests look at, and waiting for their end."""

import time
from pathlib import Path

import trio


def state_of(pid: int) -> str:
    """The process' state as in proc(5): `Z` is a zombie, `X` is dead or was never there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def is_running(pid: int) -> bool:
    """Whether it runs; zombies, whose reaping is their parent's affair, do not."""
    return state_of(pid) not in "ZX"


def wait_gone(*pids: int, seconds: float = 30) -> None:
    """Wait, blocking, for the end of all: one that was killed runs until the kernel gets round to it.

    Raises:
        AssertionError: one runs on; its number is told.
    """
    deadline = time.monotonic() + seconds
    for pid in pids:
        while is_running(pid):
            assert time.monotonic() < deadline, f"{pid} runs on"
            time.sleep(0.01)


async def until_ended(*pids: int, seconds: float = 30) -> None:
    """As `wait_gone`, while other tasks go on."""
    await trio.to_thread.run_sync(lambda: wait_gone(*pids, seconds=seconds))


def wait_none_names(word: str, *, seconds: float = 60) -> None:
    """Wait, blocking, until no process of this machine has `word` in its arguments.

    Raises:
        AssertionError: one has; its directory in /proc is told.
    """
    deadline = time.monotonic() + seconds
    while left := [process for process in Path("/proc").glob("[0-9]*") if word.encode() in _arguments(process)]:
        assert time.monotonic() < deadline, f"{word} is named by {left}"
        time.sleep(0.02)


async def until_none_names(word: str, *, seconds: float = 60) -> None:
    """As `wait_none_names`, while other tasks go on."""
    await trio.to_thread.run_sync(lambda: wait_none_names(word, seconds=seconds))


def _arguments(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
