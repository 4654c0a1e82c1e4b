"""What a process that was forked and not executed does to be one of its own; it forks none.

Standard library only: the spawner's children use it, which run beside every VM.
"""

import contextlib
import ctypes
import importlib
import os
import signal
import socket
import sys
from collections.abc import Iterable
from typing import NoReturn

API_DESCRIPTOR = 3
"""Where a hypervisor finds the listening socket of its API; the spawner keeps it free of anything else."""
MOST_DESCRIPTORS = 65_536
MAX_ORDER_BYTES = 131_072

SPARE = "procurator-spare"
"""What `ps` shows of a shim that has no VM yet, and of its child."""
ROOM = "-" * 1000
"""Given as the spawner's last argument: where its children's words find room."""
_ARGUMENTS_START, _ARGUMENTS_END = 45, 46
"""In /proc/PID/stat behind the name (`arg_start`, `arg_end` in proc(5))."""
_SHORT = 15
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_LIBC = ctypes.CDLL(None)


def die_with(parent: int) -> None:
    """Be ended when `parent` is, whichever way; at once where it has gone already. `die_alone` takes it back."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def die_alone() -> None:
    """Go on when our parent ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, 0)


def receive(channel: socket.socket, *, most: int) -> tuple[bytes, list[int]]:
    """One message (none: nobody is at the other end) and at most so many descriptors, which no program inherits."""
    message, descriptors, _, _ = socket.recv_fds(channel, MAX_ORDER_BYTES, most)
    for each in descriptors:
        os.set_inheritable(each, False)
    return message, descriptors


def retitle(words: Iterable[str]) -> None:
    """Put `words` in the place of our own arguments, cut to the room there is, and the first one as our short name."""
    told = [word.encode(errors="surrogateescape") for word in words]
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - pathlib costs memory beside every VM
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[_ARGUMENTS_START]), int(fields[_ARGUMENTS_END])
    text = b"\0".join(told)[: max(0, end - start - 1)]
    if start:
        ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)
    _LIBC.prctl(_PR_SET_NAME, told[0].rpartition(b"/")[2][:_SHORT], 0, 0, 0)


def call(module: str, argv: list[str]) -> NoReturn:
    """Become a hypervisor of ours without a Python of its own; as after an exec, nothing of ours stays open."""
    os.closerange(API_DESCRIPTOR + 1, MOST_DESCRIPTORS)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python starts with
    retitle(argv)
    sys.argv = argv
    os.environ.pop("RUST_BACKTRACE", None)
    code: object = 1
    try:
        importlib.import_module(module).main()  # as a rule the spawner has loaded it
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # the edge of this process, as the interpreter's own is after an exec
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
