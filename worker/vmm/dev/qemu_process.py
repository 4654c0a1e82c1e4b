"""Starts a QEMU that dies with this process, up to its answer on the monitor; it steers none."""

import ctypes
import os
import signal
import socket
import subprocess  # noqa: TID251 - the VMM process owner
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from worker.vmm.dev import snapshot_files
from worker.vmm.dev.answers import BootFailed, BootFailure, Json
from worker.vmm.dev.counters import TAP_COUNTERS
from worker.vmm.dev.files import lock_failure, tap_statistic
from worker.vmm.dev.machine import os_error_text
from worker.vmm.dev.qemu_arguments import PROGRAM, Descriptors, arguments
from worker.vmm.dev.qemu_devices import open_relay
from worker.vmm.dev.qemu_memory import await_memory
from worker.vmm.dev.qmp import Qmp, QmpGone
from worker.vmm.dev.slots import Slots
from worker.vmm.dev.vm_config import devices, number, section
from worker.vmm.dev.vsock import VsockRelay

GREETING_SECONDS = 30.0
_MOST_WORDS = 65_536
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

Log = Callable[[str], None]


class Wanted(NamedTuple):
    """What a QEMU is started with; it inherits `taps` and the serial socket's `listener`.

    `backends` are the network cards' where they are not taps; `saved` is a snapshot's directory.
    """

    config: Json
    slots: Slots
    taps: tuple[int, ...]
    backends: tuple[str, ...] | None
    listener: int | None
    saved: str | None


class Running(NamedTuple):
    """One running QEMU; the taps' counters as they were when their cards were made."""

    process: "subprocess.Popen[bytes]"
    qmp: Qmp
    taps_before: dict[str, int]
    words: int
    relays: dict[int, VsockRelay]
    memory_bytes: int


def launch(wanted: Wanted, *, accelerator: str, sandbox: bool, log: Log) -> Running:
    """A QEMU that answers, paused when it was saved so. Raises BootFailed, and OSError for a snapshot's file."""
    config = wanted.config
    relay = open_relay(config)
    with ExitStack() as undone, ExitStack() as ended:
        if relay is not None:
            undone.callback(relay.stop)
        memory = None if wanted.saved is None else snapshot_files.open_memory(wanted.saved)
        if memory is not None:
            ended.callback(os.close, memory)
        ours, theirs = socket.socketpair()
        descriptors = Descriptors(
            control=theirs.fileno(),
            serial_listener=wanted.listener,
            taps=wanted.taps,
            vsock=None if relay is None else relay.guest_side.fileno(),
            saved=memory,
        )
        argv = arguments(
            config,
            wanted.slots,
            descriptors=descriptors,
            accelerator=accelerator,
            sandbox=sandbox,
            backends=wanted.backends,
        )
        running = _started(argv, ours, theirs, descriptors=descriptors, config=config, log=log)
        undone.pop_all()
    if relay is not None:
        running.relays[wanted.slots.taken[str(section(config, "vsock")["id"])]] = relay
        relay.start(restored=wanted.saved is not None)
    return running


def _started(
    argv: list[str], ours: socket.socket, theirs: socket.socket, *, descriptors: Descriptors, config: Json, log: Log
) -> Running:
    log(f"starting {' '.join(argv)}")
    words = os.memfd_create("qemu-stderr")
    try:
        with theirs:
            process = _popen(argv, pass_fds=descriptors.all, stderr=words)
    except OSError as error:
        ours.close()
        os.close(words)
        raise BootFailed(BootFailure.EARLY, f"Cannot start {PROGRAM}", os_error_text(error)) from error
    try:
        qmp = Qmp(ours)
        qmp.greet(seconds=GREETING_SECONDS)
        if descriptors.saved is not None:
            await_memory(qmp)
    except QmpGone as gone:
        ours.close()
        process.kill()
        process.wait()
        raise boot_failure(repeat(words, log)) from gone
    return Running(
        process=process,
        qmp=qmp,
        taps_before=tap_counters_of(devices(config, "net")),
        words=words,
        relays={},
        memory_bytes=number(section(config, "memory").get("size")),
    )


def _popen(argv: list[str], *, pass_fds: tuple[int, ...], stderr: int) -> "subprocess.Popen[bytes]":
    parent, prctl = os.getpid(), _LIBC.prctl

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if "stdio,id=serial,signal=off" not in argv else None,
        stderr=stderr,
        pass_fds=pass_fds,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - a relay's thread takes no lock that the child would need
    )


def repeat(words: int, log: Log) -> str:
    """What QEMU said on stderr, once it has ended; it goes to our log too."""
    said = os.pread(words, _MOST_WORDS, 0).decode(errors="replace").rstrip()
    os.close(words)
    if said:
        log(said)
    return said


def boot_failure(words: str) -> BootFailed:
    """What a QEMU that ended before its greeting means in the real one's words."""
    if 'Failed to get "write" lock' in words or "Failed to get shared" in words:
        return lock_failure(words.strip().splitlines()[0][:200])
    if "cannot set up guest memory" in words.lower():
        return BootFailed(BootFailure.EARLY, "Memory manager error", words.strip()[:500])
    return BootFailed(BootFailure.EARLY, "QEMU did not start", words.strip()[:500] or "it said nothing")


def tap_counters(tap: str) -> dict[str, int]:
    """A network card's counters in the real one's names, since its tap was made."""
    return {name: tap_statistic(tap, host_name) for name, host_name in TAP_COUNTERS.items()}


def tap_counters_of(nets: list[Json]) -> dict[str, int]:
    """The counters of cards' taps, by tap and name."""
    taps = [str(net.get("tap", "")) for net in nets]
    return {f"{tap}/{name}": value for tap in taps for name, value in tap_counters(tap).items()}
