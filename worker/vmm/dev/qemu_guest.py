"""The `Guest` that QEMU runs: a child that dies with this process, steered over QMP; it knows no API and no phases."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess  # noqa: TID251 - the VMM process owner
from collections.abc import Callable
from typing import NamedTuple

from worker.vmm.dev import snapshot_files
from worker.vmm.dev.answers import (
    BalloonChanged,
    BootFailed,
    BootFailure,
    GuestEnd,
    GuestEvent,
    GuestFailed,
    GuestReset,
    Json,
)
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
    read_backends,
    tap_statistic,
    truncated,
)
from worker.vmm.dev.guest_port import Steering
from worker.vmm.dev.machine import os_error_text
from worker.vmm.dev.qemu_arguments import PROGRAM, Descriptors, arguments
from worker.vmm.dev.qemu_devices import (
    after_unplug,
    open_relay,
    plug_disk,
    plug_net,
    plug_vsock,
    resize_disk,
    unplug,
)
from worker.vmm.dev.qemu_memory import await_memory, write_memory
from worker.vmm.dev.qmp import Qmp, QmpGone
from worker.vmm.dev.slots import Slots
from worker.vmm.dev.snapshot import Snapshot
from worker.vmm.dev.vm_config import devices, number, section
from worker.vmm.dev.vsock import VsockRelay

GREETING_SECONDS = 30.0
STOP_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


_STEERING = {
    Steering.PAUSE: "stop",
    Steering.RESUME: "cont",
    Steering.RESET: "system_reset",
    Steering.POWER_BUTTON: "system_powerdown",
    Steering.NMI: "inject-nmi",
}


class _Running(NamedTuple):
    """One running QEMU; the taps' counters as they were when their cards were made."""

    process: "subprocess.Popen[bytes]"
    qmp: Qmp
    taps_before: dict[str, int]
    words: int
    relays: dict[int, VsockRelay]
    memory_bytes: int


class QemuGuest:
    """Runs one guest at a time. `log` takes a line for people."""

    def __init__(
        self, *, accelerator: str, sandbox: bool, log: Callable[[str], None], user_net: str | None = None
    ) -> None:
        self._accelerator = accelerator
        self._user_net = user_net
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

    def start(self, config: Json, slots: Slots, *, saved: str | None = None) -> None:
        """See `Guest.start`."""
        check_initramfs(config)
        check_disks(config)
        backends = None if self._user_net is None else read_backends(self._user_net, config, slots)
        taps = open_taps(config) if backends is None else []
        try:
            check_kernel(config)
            check_locks(config)
            self._forget_serial_file()
            self._running = self._spawn(config, slots, taps, saved=saved, backends=backends)
        finally:
            close_all(taps)
        self._boots += 1
        self._powered_off = False
        balloon = number(section(config, "balloon").get("size"))
        if balloon and saved is None:
            self.resize_balloon(balloon)

    def stop(self) -> None:
        """See `Guest.stop`."""
        if self._running is None:
            return
        process, qmp, relays = self._running.process, self._running.qmp, self._running.relays
        words = self._running.words
        self._running = None
        with contextlib.suppress(QmpGone):
            qmp.execute("quit", seconds=STOP_SECONDS)
        qmp.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for relay in relays.values():
            relay.stop()
        self._repeat(words)

    def steer(self, steering: Steering) -> None:
        """See `Guest.steer`."""
        self._execute(_STEERING[steering])
        if steering is Steering.RESET:
            self._was_reset()

    def plug(self, kind: str, device: Json, slot: int) -> None:
        """See `Devices.plug`."""
        running = self._now_running()
        match kind:
            case "disks":
                plug_disk(running.qmp, device, slot)
            case "net" if self._user_net is not None:
                raise GuestFailed("Error from device manager", "The user-mode network takes no card after boot")
            case "net":
                plug_net(running.qmp, device, slot)
                running.taps_before.update(_tap_counters_of([device]))
            case _:
                running.relays[slot] = plug_vsock(running.qmp, device, slot)

    def unplug(self, slot: int) -> None:
        """See `Devices.unplug`."""
        unplug(self._now_running().qmp, slot)

    def resize_disk(self, slot: int, size: int) -> None:
        """See `Devices.resize_disk`."""
        resize_disk(self._now_running().qmp, slot, size)

    def resize_balloon(self, size: int) -> None:
        """See `Devices.resize_balloon`: QEMU counts what the guest keeps."""
        self._execute("balloon", {"value": self._now_running().memory_bytes - size})

    def counters(self, config: Json, slots: Slots) -> Json:
        """See `Guest.counters`."""
        blocks = self._block_statistics()
        answer: Json = {
            str(disk["id"]): disk_counters(blocks.get(f"disk{slots.taken[str(disk['id'])]}", {}))
            for disk in devices(config, "disks")
            if str(disk["id"]) in slots.taken
        }
        base = self._running.taps_before if self._running else {}
        for net in devices(config, "net"):
            now = tap_counters(str(net.get("tap", "")))
            key = str(net["id"])
            answer[key] = {name: now[name] - base.get(f"{net.get('tap')}/{name}", 0) for name in now}
        return answer

    def save(self, folder: str, snapshot: Snapshot) -> None:
        """See `Guest.save`."""
        memory = snapshot_files.begin(folder)
        try:
            write_memory(self._now_running().qmp, memory)
            snapshot_files.finish(folder, snapshot, memory)
        finally:
            os.close(memory)

    def load(self, folder: str) -> Snapshot:
        """See `Guest.load`."""
        return snapshot_files.load(folder)

    def fileno(self) -> int | None:
        """What to wait on for `take_end`: readable when QEMU tells something. None while no guest runs."""
        return None if self._running is None else self._running.qmp.fileno()

    def take_events(self) -> list[GuestEvent]:
        """See `LivingGuest.take_events`."""
        told: list[GuestEvent] = []
        while self._running is not None and (events := self._running.qmp.events()):
            for event in events:
                meant = self._meant(event)
                if meant is not None:
                    told.append(meant)
                if isinstance(meant, GuestEnd):
                    return told
        return told

    def _meant(self, event: Json) -> GuestEvent | None:
        match event:
            case {"event": "RESET", "data": {"guest": True}}:
                self._was_reset()
                return GuestReset()
            case {"event": "VSERPORT_CHANGE", "data": {"open": False}}:
                self._lose_guest_side()
            case {"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}:
                self._powered_off = True
            case {"event": "BALLOON_CHANGE", "data": {"actual": int(actual)}}:
                return BalloonChanged(actual)
            case {"event": "DEVICE_DELETED"} if self._running is not None:
                gone = after_unplug(self._running.qmp, event)
                relay = None if gone is None else self._running.relays.pop(gone.slot, None)
                if relay is not None:
                    relay.stop()
                return gone
            case {"event": "EOF"}:
                return GuestEnd.POWERED_OFF if self._powered_off else GuestEnd.CRASHED
        return None

    def _now_running(self) -> _Running:
        if self._running is None:
            raise GuestFailed("QEMU does not run")
        return self._running

    def _execute(self, command: str, arguments: Json | None = None) -> object:
        try:
            return self._now_running().qmp.execute(command, arguments)
        except QmpGone as gone:
            raise GuestFailed(f"QEMU: {gone}") from gone

    def _was_reset(self) -> None:
        self._forget_serial_file()
        self._lose_guest_side()

    def _lose_guest_side(self) -> None:
        """Whoever listened to the vsock in the guest does no more."""
        if self._running is not None:
            for relay in self._running.relays.values():
                relay.guest_was_reset()

    def _spawn(
        self, config: Json, slots: Slots, taps: list[int], *, saved: str | None, backends: tuple[str, ...] | None
    ) -> _Running:
        relay = open_relay(config)
        memory = None
        try:
            memory = None if saved is None else snapshot_files.open_memory(saved)
            running = self._spawn_with(config, slots, taps, relay=relay, memory=memory, backends=backends)
        except BaseException:
            if relay is not None:
                relay.stop()
            raise
        finally:
            if memory is not None:
                os.close(memory)
        if relay is not None:
            running.relays[slots.taken[str(section(config, "vsock")["id"])]] = relay
            relay.start(restored=saved is not None)
        return running

    def _spawn_with(
        self,
        config: Json,
        slots: Slots,
        taps: list[int],
        *,
        relay: VsockRelay | None,
        memory: int | None,
        backends: tuple[str, ...] | None,
    ) -> _Running:
        ours, theirs = socket.socketpair()
        listener = None if self._listener is None else self._listener.fileno()
        descriptors = Descriptors(
            control=theirs.fileno(),
            serial_listener=listener,
            taps=tuple(taps),
            vsock=None if relay is None else relay.guest_side.fileno(),
            saved=memory,
        )
        argv = arguments(
            config,
            slots,
            descriptors=descriptors,
            accelerator=self._accelerator,
            sandbox=self._sandbox,
            backends=backends,
        )
        self._log(f"starting {' '.join(argv)}")
        words = os.memfd_create("qemu-stderr")
        try:
            with theirs:
                process = self._popen(argv, pass_fds=descriptors.all, stderr=words)
            qmp = Qmp(ours)
            qmp.greet(seconds=GREETING_SECONDS)
            if memory is not None:
                await_memory(qmp)
        except OSError as error:
            ours.close()
            os.close(words)
            raise BootFailed(BootFailure.EARLY, f"Cannot start {PROGRAM}", os_error_text(error)) from error
        except QmpGone as gone:
            ours.close()
            process.kill()
            process.wait()
            raise boot_failure(self._repeat(words)) from gone
        before = _tap_counters_of(devices(config, "net"))
        size = number(section(config, "memory").get("size"))
        return _Running(process=process, qmp=qmp, taps_before=before, words=words, relays={}, memory_bytes=size)

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

    def _block_statistics(self) -> dict[str, Json]:
        """By node name."""
        if self._running is None:
            return {}
        try:
            answer = self._running.qmp.execute("query-blockstats")
        except QmpGone:
            return {}
        listed = answer if isinstance(answer, list) else []
        return {str(block.get("node-name")): section(block, "stats") for block in listed if block.get("qdev")}


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


def _tap_counters_of(nets: list[Json]) -> dict[str, int]:
    taps = [str(net.get("tap", "")) for net in nets]
    return {f"{tap}/{name}": value for tap in taps for name, value in tap_counters(tap).items()}
