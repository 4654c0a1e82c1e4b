"""The `Guest` that QEMU runs: a child that dies with this process, steered over QMP; it knows no API and no phases."""

import contextlib
import os
import socket
import subprocess  # noqa: TID251 - the VMM process owner
from collections.abc import Callable

from worker.vmm.dev import snapshot_files
from worker.vmm.dev.answers import (
    BalloonChanged,
    GuestEnd,
    GuestEvent,
    GuestFailed,
    GuestReset,
    Json,
)
from worker.vmm.dev.counters import disk_counters
from worker.vmm.dev.files import (
    check_disks,
    check_initramfs,
    check_kernel,
    check_locks,
    close_all,
    listen,
    open_taps,
    read_backends,
    truncated,
)
from worker.vmm.dev.guest_port import Steering
from worker.vmm.dev.qemu_devices import (
    after_unplug,
    plug_disk,
    plug_net,
    plug_vsock,
    resize_disk,
    unplug,
)
from worker.vmm.dev.qemu_memory import write_memory
from worker.vmm.dev.qemu_process import Running, Wanted, launch, repeat, tap_counters, tap_counters_of
from worker.vmm.dev.qmp import QmpGone
from worker.vmm.dev.slots import Slots
from worker.vmm.dev.snapshot import Snapshot
from worker.vmm.dev.vm_config import devices, number, section

STOP_SECONDS = 2.0

_STEERING = {
    Steering.PAUSE: "stop",
    Steering.RESUME: "cont",
    Steering.RESET: "system_reset",
    Steering.POWER_BUTTON: "system_powerdown",
    Steering.NMI: "inject-nmi",
}


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
        self._running: Running | None = None

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
            listener = None if self._listener is None else self._listener.fileno()
            wanted = Wanted(config, slots, tuple(taps), backends, listener, saved)
            self._running = launch(wanted, accelerator=self._accelerator, sandbox=self._sandbox, log=self._log)
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
        repeat(words, self._log)

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
                running.taps_before.update(tap_counters_of([device]))
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

    def _now_running(self) -> Running:
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
