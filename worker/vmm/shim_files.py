"""What a shim finds, makes and removes in its runtime directory: its lock, logs and sockets; it runs nothing.

Standard library only, and little of it: it is part of the shim, which runs beside every VM.
"""

import contextlib
import fcntl
import json
import os
import socket
import stat
import struct
import time

from worker.vmm.confinement import Confinement
from worker.vmm.fence import boot_id

LOCK = "shim.lock"
STALE = ("api.sock", "control.sock", "process.json")
OWN_DIRECTORY = "v"
"""What the hypervisor makes: a hypervisor that was killed leaves its sockets there, which the next would stumble on."""


class RingLog:
    """The newest of a stream: `PATH`, and before it `PATH.1`, never more than `cap` bytes together."""

    def __init__(self, path: str, cap: int) -> None:
        self._path = path
        self._half = max(1, cap // 2)
        self._file = -1
        self._open()

    def write(self, data: bytes) -> None:
        """Append, turning the file over each time it is full."""
        while data:
            room = self._half - self._size
            if room <= 0:
                os.close(self._file)
                os.replace(self._path, f"{self._path}.1")  # noqa: PTH105 - pathlib costs memory beside every VM
                self._open()
                continue
            self._size += os.write(self._file, data[:room])
            data = data[room:]

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size


def start_time(pid: int) -> int:
    """Clock ticks after the machine's start at which process `pid` began: with the id, it names a process for good."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - as above
        return int(stat.read().rpartition(")")[2].split()[19])


def now() -> float:
    """Seconds since 1970, for people to read."""
    return time.time()  # noqa: TID251 - a program of its own, which has no app.py


def hold(directory: str) -> int:
    """Make the directory and lock it for this shim's life; the descriptor, or -1 when another holds it."""
    path = f"{directory}/{LOCK}"
    while True:
        os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103 - as above
        descriptor = -1
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116 - as above
                return descriptor
        except FileNotFoundError:
            pass  # whoever gave it up has removed it meanwhile
        except BlockingIOError:
            os.close(descriptor)
            return -1
        if descriptor >= 0:
            os.close(descriptor)


def let_go(directory: str) -> None:
    """Leave nothing of a directory that we hold and have not used; what an earlier VM left there stays."""
    os.unlink(f"{directory}/{LOCK}")  # noqa: PTH108 - as above
    with contextlib.suppress(OSError):
        os.rmdir(directory)  # noqa: PTH106 - as above


def runs_already(directory: str) -> bool:
    """Whether the recorded hypervisor is still there though nobody holds the directory."""
    try:
        with open(f"{directory}/process.json", encoding="utf-8") as file:  # noqa: PTH123 - as above
            record = json.load(file)
        return bool(record["bootId"] == boot_id() and start_time(record["pid"]) == record["startTime"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def listener_of(connected: socket.socket) -> int:
    """The user who listens at the other end of a unix socket (SO_PEERCRED)."""
    uid: int = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    return uid


def listen(path: str, *, backlog: int) -> socket.socket:
    """A unix socket for us alone. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)  # noqa: PTH101 - as above
    listener.listen(backlog)
    return listener


def clear(directory: str) -> None:
    """Remove what an earlier run left that would keep a new one from starting."""
    for name in STALE:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/{name}")  # noqa: PTH108 - as above


def make_own_directory(directory: str, owner: Confinement) -> None:
    """An empty directory for what the hypervisor makes, which is nobody else's; what was in it goes, links unfollowed.

    Nobody writes there meanwhile: its last user's processes have ended.
    """
    own = f"{directory}/{OWN_DIRECTORY}"
    _remove(own)
    os.mkdir(own, 0o700)  # noqa: PTH102 - as above
    if owner.is_another_user:
        os.chown(own, owner.uid, owner.gid)
        os.chown(directory, -1, owner.gid)
        os.chmod(directory, 0o710)  # noqa: PTH101, S103 - as above; its user may pass through, and see nothing


def _remove(path: str) -> None:
    try:
        is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_directory:
        os.unlink(path)  # noqa: PTH108 - as above
        return
    for name in os.listdir(path):  # noqa: PTH208 - as above
        _remove(f"{path}/{name}")
    os.rmdir(path)  # noqa: PTH106 - as above
