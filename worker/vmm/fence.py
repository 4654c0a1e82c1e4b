"""Ends a fenced singleton's hypervisor when its worker's lease has run out; it writes no lease and grants none.

Standard library only: the shim uses it, which runs beside every VM. The deadline is on CLOCK_BOOTTIME and stands in one
file of the worker, which the worker replaces at each renewal. Whoever reads it needs nobody else: neither the worker
nor the control plane has to be alive, or even scheduled, for the VM to end in time.

Two processes watch over a fenced VM, so that one of them may be killed or stopped: the shim, and a guard that it forks,
in a session of its own. A shim that is left without its guard forks another. Either kills the hypervisor's whole
session with SIGKILL: a fenced VM has nothing on this machine that is to be kept.
"""

import contextlib
import json
import os
import select
import signal
import time

LOOK_SECONDS = 1.0
"""How often the file is read: waits do not count the time that the machine was suspended, so none is long."""
MAX_LEASE_BYTES = 512
NONE = "-"
"""The lease of a VM that is not fenced, in a shim's order."""


def boottime_ns() -> int:
    """Nanoseconds since the machine's start, suspended time too (CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


_boot_id = ""


def boot_id() -> str:
    """The running kernel's own id: times since its start compare only within one run."""
    global _boot_id  # noqa: PLW0603 - read once: it is the same for as long as we are there
    if not _boot_id:
        _boot_id = _read_boot_id()
    return _boot_id


def _read_boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - see shim.py
        return file.read().strip()


def read_deadline(path: str) -> int | None:
    """The deadline (CLOCK_BOOTTIME, ns) in a lease file; 0 when it is of another boot, None when it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see shim.py
            kept = json.loads(file.read(MAX_LEASE_BYTES))
        return int(kept["deadlineNs"]) if kept["bootId"] == boot_id() else 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


class Fence:
    """What one process knows of the lease at `path`; it is passed until it could be read once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._deadline_ns = 0

    def has_passed(self) -> bool:
        """Whether the deadline that stands in the file, or stood there last, is over."""
        found = read_deadline(self.path)
        if found is not None:
            self._deadline_ns = found
        return boottime_ns() >= self._deadline_ns

    def wait_seconds(self) -> float:
        """How long to wait at most before looking again."""
        return max(0.0, min(LOOK_SECONDS, (self._deadline_ns - boottime_ns()) / 1e9))


def kill_session(pid: int) -> None:
    """End a hypervisor with all that it started; `pid` is not reaped yet."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def fork_guard(fence: Fence, *, pid: int, pidfd: int) -> int:
    """A process beside ours that ends the hypervisor `pid` when the lease is over, and then itself; its id.

    It holds nothing of ours but `pidfd`.
    """
    guard = os.fork()
    if guard:
        return guard
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        mine = os.dup2(pidfd, 3)
        os.closerange(4, 65_536)
        keep_watch(fence, pid=pid, pidfd=mine)
    finally:
        os._exit(0)


def keep_watch(fence: Fence, *, pid: int, pidfd: int) -> None:
    """Look at the lease until the hypervisor has ended. While `pidfd` is silent its id is still its own."""
    watched = select.poll()
    watched.register(pidfd, select.POLLIN)
    wait = 0.0
    while not watched.poll(wait * 1000):
        if fence.has_passed():
            kill_session(pid)
            wait = LOOK_SECONDS
        else:
            wait = fence.wait_seconds()
