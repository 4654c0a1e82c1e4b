"""The `Guest` that QEMU runs: a child that dies with this process, steered over QMP; it knows no API and no phases."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess  # noqa: TID251 - the VMM process owner
from collections.abc import Callable
from typing import NamedTuple

from worker.vmm.dev.answers import BootFailed, BootFailure, GuestEnd, Json
from worker.vmm.dev.counters import TAP_COUNTERS, disk_counters
from worker.vmm.dev.files import (
    check_disks,
    check_initramfs,
    check_kernel,
    check_locks,
    close_all,
    listen,
    lock_failure,
    open_taps,
    tap_statistic,
    truncated,
)
from worker.vmm.dev.machine import os_error_text
from worker.vmm.dev.qemu_arguments import PROGRAM, Descriptors, arguments
from worker.vmm.dev.qmp import Qmp, QmpGone
from worker.vmm.dev.vm_config import devices, section
from worker.vmm.dev.vsock import VsockRelay

GREETING_SECONDS = 30.0
STOP_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


class _Running(NamedTuple):
    """One running QEMU."""

    process: "subprocess.Popen[bytes]"
    qmp: Qmp
    taps_at_boot: dict[str, int]
    words: int
    relay: VsockRelay | None


class QemuGuest:
    """Runs one guest at a time. `log` takes a line for people."""

    def __init__(self, *, accelerator: str, sandbox: bool, log: Callable[[str], None]) -> None:
        self._accelerator = accelerator
        self._sandbox = sandbox
        self._log = log
        self._listener: socket.socket | None = None
        self._serial_socket = ""
        self._serial_file = ""
        self._boots = 0
        self._powered_off = False
        self._running: _Running | None = None
        self._libc = ctypes.CDLL(None)

    def open_serial(self, config: Json) -> None:
        """See `Guest.open_serial`."""
        serial = section(config, "serial")
        self._boots = 0
        if serial.get("mode") == "Socket":
            path = str(serial.get("socket", ""))
            self._listener = listen(path)
            self._serial_socket = path
        if serial.get("mode") == "File":
            self._serial_file = str(serial.get("file", ""))
            truncated(self._serial_file)

    def close_serial(self) -> None:
        """See `Guest.close_serial`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):
                os.unlink(self._serial_socket)  # noqa: PTH108 - pathlib is not loaded for one call
        self._serial_file = ""

    def start(self, config: Json) -> None:
        """See `Guest.start`."""
        check_initramfs(config)
        check_disks(config)
        taps = open_taps(config)
        try:
            check_kernel(config)
            check_locks(config)
            self._forget_serial_file()
            self._running = self._spawn(config, taps)
        finally:
            close_all(taps)
        self._boots += 1
        self._powered_off = False

    def stop(self) -> None:
        """See `Guest.stop`."""
        if self._running is None:
            return
        process, qmp, _, words, relay = self._running
        self._running = None
        with contextlib.suppress(QmpGone):
            qmp.execute("quit", seconds=STOP_SECONDS)
        qmp.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if relay is not None:
            relay.stop()
        self._repeat(words)

    def press_power_button(self) -> None:
        """See `Guest.press_power_button`."""
        if self._running is not None:
            with contextlib.suppress(QmpGone):
                self._running.qmp.execute("system_powerdown")

    def counters(self, config: Json) -> Json:
        """See `Guest.counters`."""
        blocks = self._block_statistics()
        disks = zip(devices(config, "disks"), blocks, strict=False)
        answer: Json = {str(disk["id"]): disk_counters(statistics) for disk, statistics in disks}
        base = self._running.taps_at_boot if self._running else {}
        for net in devices(config, "net"):
            now = tap_counters(str(net.get("tap", "")))
            key = str(net["id"])
            answer[key] = {name: now[name] - base.get(f"{net.get('tap')}/{name}", 0) for name in now}
        return answer

    def fileno(self) -> int | None:
        """What to wait on for `take_end`: readable when QEMU tells something. None while no guest runs."""
        return None if self._running is None else self._running.qmp.fileno()

    def take_end(self, on_reset: Callable[[], None]) -> GuestEnd | None:
        """Read what QEMU told; how the guest ended, or None when it runs on. A reset is told to `on_reset`."""
        if self._running is None:
            return None
        for event in self._running.qmp.events():
            match event:
                case {"event": "RESET", "data": {"guest": True}}:
                    self._forget_serial_file()
                    self._lose_guest_side()
                    on_reset()
                case {"event": "VSERPORT_CHANGE", "data": {"open": False}}:
                    self._lose_guest_side()
                case {"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}:
                    self._powered_off = True
                case {"event": "EOF"}:
                    return GuestEnd.POWERED_OFF if self._powered_off else GuestEnd.CRASHED
        return None

    def _lose_guest_side(self) -> None:
        """Whoever listened to the vsock in the guest does no more."""
        if self._running is not None and self._running.relay is not None:
            self._running.relay.guest_was_reset()

    def _spawn(self, config: Json, taps: list[int]) -> _Running:
        relay = open_relay(config)
        try:
            running = self._spawn_with(config, taps, relay)
        except BaseException:
            if relay is not None:
                relay.stop()
            raise
        if relay is not None:
            relay.start()
        return running

    def _spawn_with(self, config: Json, taps: list[int], relay: VsockRelay | None) -> _Running:
        ours, theirs = socket.socketpair()
        listener = None if self._listener is None else self._listener.fileno()
        descriptors = Descriptors(
            control=theirs.fileno(),
            serial_listener=listener,
            taps=tuple(taps),
            vsock=None if relay is None else relay.guest_side.fileno(),
        )
        argv = arguments(config, descriptors=descriptors, accelerator=self._accelerator, sandbox=self._sandbox)
        self._log(f"starting {' '.join(argv)}")
        words = os.memfd_create("qemu-stderr")
        try:
            with theirs:
                process = self._popen(argv, pass_fds=descriptors.all, stderr=words)
            qmp = Qmp(ours)
            qmp.greet(seconds=GREETING_SECONDS)
        except OSError as error:
            ours.close()
            os.close(words)
            raise BootFailed(BootFailure.EARLY, f"Cannot start {PROGRAM}", os_error_text(error)) from error
        except QmpGone as gone:
            ours.close()
            process.kill()
            process.wait()
            raise boot_failure(self._repeat(words)) from gone
        return _Running(process=process, qmp=qmp, taps_at_boot=_all_tap_counters(config), words=words, relay=relay)

    def _popen(self, argv: list[str], *, pass_fds: tuple[int, ...], stderr: int) -> "subprocess.Popen[bytes]":
        parent, prctl = os.getpid(), self._libc.prctl

        def die_with_parent() -> None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if "stdio,id=serial,signal=off" not in argv else None,
            stderr=stderr,
            pass_fds=pass_fds,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one thread; nothing else sets the signal before exec
        )

    def _repeat(self, words: int) -> str:
        """What QEMU said on stderr, once it has ended; it goes to our log too."""
        said = os.pread(words, 65_536, 0).decode(errors="replace").rstrip()
        os.close(words)
        if said:
            self._log(said)
        return said

    def _forget_serial_file(self) -> None:
        """A real one truncates its serial file at every boot but the first, and at every reset (recorded)."""
        if self._serial_file and (self._boots or self._running):
            truncated(self._serial_file)

    def _block_statistics(self) -> list[Json]:
        if self._running is None:
            return []
        try:
            answer = self._running.qmp.execute("query-blockstats")
        except QmpGone:
            return []
        listed = answer if isinstance(answer, list) else []
        return [section(block, "stats") for block in listed if block.get("qdev")]


def open_relay(config: Json) -> VsockRelay | None:
    """The vsock's socket on the host, where the configuration has one. Raises BootFailed (device)."""
    path = section(config, "vsock").get("socket")
    if path is None:
        return None
    try:
        return VsockRelay(str(path))
    except OSError as error:
        causes = (
            "Cannot create virtio-vsock backend",
            "Error binding to the host-side Unix socket",
            os_error_text(error),
        )
        raise BootFailed(BootFailure.DEVICE, "Error from device manager", *causes, kind_of_device="vsock") from error


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


def _all_tap_counters(config: Json) -> dict[str, int]:
    taps = [str(net.get("tap", "")) for net in devices(config, "net")]
    return {f"{tap}/{name}": value for tap in taps for name, value in tap_counters(tap).items()}
