"""The fake hypervisor: the same state machine over a scripted guest, in memory or as a program; it boots nothing.

As a program, `python -m worker.vmm.fake --api-socket PATH` lives the process life of a real one and serves the same
API, so that shim, worker and fleet run without QEMU. Script a guest through its kernel command line, word by word:

- `fake.power-button=ignored`: the guest does not obey; else it powers off at once.
- `fake.dies-after=SECONDS`, `fake.powers-off-after=SECONDS`: it ends by itself, counted from boot.
- `fake.says=WORD`: one line on the serial console at boot (else `fake guest booted`).
- `fake.listens=ADDRESS:PORT`: while it runs, that address answers every connection with an HTTP 200.
- `fake.eject=ignored`: it never lets a device go.
"""

import contextlib
import json
import os
import select
import socket
import sys
import threading
from collections.abc import Callable

from schema.errors import Unavailable
from worker.vmm.config import Disk, Size, VmConfig, create_request, disk_request, folder_url, resize_request
from worker.vmm.dev import snapshot_files
from worker.vmm.dev.answers import GuestEnd, GuestEvent, Json, Refused, Unplugged
from worker.vmm.dev.api import VERSION
from worker.vmm.dev.command_line import Options
from worker.vmm.dev.counters import disk_counters
from worker.vmm.dev.files import check_disks, check_initramfs, check_kernel, check_locks, listen, truncated
from worker.vmm.dev.guest_port import Steering
from worker.vmm.dev.machine import Machine
from worker.vmm.dev.phases import Request
from worker.vmm.dev.process import random_mac, run
from worker.vmm.dev.slots import Slots
from worker.vmm.dev.snapshot import Snapshot
from worker.vmm.dev.vm_config import devices, section
from worker.vmm.port import (
    Counters,
    HypervisorRefused,
    PciDevice,
    VmAction,
    VmInfo,
    VmmIdentity,
    counters_from_json,
)

PROGRAM = "procurator-fake-vmm"
HTTP_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def script_of(config: Json) -> dict[str, str]:
    """The guest's script: the `fake.KEY=VALUE` words of its kernel command line."""
    words = str(section(config, "payload").get("cmdline", "")).split()
    pairs = (word.removeprefix("fake.").partition("=") for word in words if word.startswith("fake."))
    return {key: value for key, _, value in pairs}


class ScriptedGuest:
    """A guest that runs no code: on the host it opens files and serves sockets as configured, else it touches nothing.

    `power_off` and `crash` end it as if by itself.
    """

    def __init__(self, *, on_host: bool) -> None:
        self._on_host = on_host
        self._ready = select.epoll()
        self._ends, self._end_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._ready.register(self._ends, select.EPOLLIN)
        self._serial: socket.socket | None = None
        self._serial_path = ""
        self._health: socket.socket | None = None
        self._clients: list[socket.socket] = []
        self._timer: threading.Timer | None = None
        self._script: dict[str, str] = {}
        self._unplugged: list[Unplugged] = []
        self._is_paused = False
        self.running = False

    def open_serial(self, config: Json) -> None:
        """See `Guest.open_serial`."""
        serial = section(config, "serial")
        if not self._on_host:
            return
        if serial.get("mode") == "Socket":
            self._serial_path = str(serial.get("socket", ""))
            self._serial = listen(self._serial_path)
            self._serial.setblocking(False)
        if serial.get("mode") == "File":
            truncated(str(serial.get("file", "")))

    def close_serial(self) -> None:
        """See `Guest.close_serial`."""
        if self._serial is not None:
            self._serial.close()
            self._serial = None
            with contextlib.suppress(OSError):
                os.unlink(self._serial_path)  # noqa: PTH108 - pathlib is not loaded for one call

    def start(self, config: Json, slots: Slots, *, saved: str | None = None) -> None:
        """See `Guest.start`."""
        if self._on_host:
            for check in (check_initramfs, check_disks, check_kernel, check_locks):
                check(config)
        self._script = script_of(config)
        self.running, self._is_paused = True, saved is not None
        if self._on_host:
            self._start_on_host()

    def stop(self) -> None:
        """See `Guest.stop`."""
        self.running = False
        self._unplugged.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._serial is not None:
            with contextlib.suppress(FileNotFoundError):
                self._ready.unregister(self._serial)
        if self._health is not None:
            self._health.close()
            self._health = None
        while self._clients:
            self._clients.pop().close()
        with contextlib.suppress(BlockingIOError):
            os.read(self._ends, 64)

    def steer(self, steering: Steering) -> None:
        """See `Guest.steer`; a reset changes nothing here."""
        match steering:
            case Steering.PAUSE:
                self._is_paused = True
            case Steering.RESUME:
                self._is_paused = False
            case Steering.POWER_BUTTON if self._script.get("power-button") != "ignored":
                self.power_off()

    def plug(self, kind: str, device: Json, slot: int) -> None:
        """See `Devices.plug`."""
        if self._on_host and kind == "disks":
            check_disks({"disks": [device]})

    def unplug(self, slot: int) -> None:
        """See `Devices.unplug`."""
        if self._script.get("eject") != "ignored":
            self._unplugged.append(Unplugged(slot))

    def resize_disk(self, slot: int, size: int) -> None:
        """See `Devices.resize_disk`."""

    def resize_balloon(self, size: int) -> None:
        """See `Devices.resize_balloon`."""

    def save(self, folder: str, snapshot: Snapshot) -> None:
        """See `Guest.save`: there is no memory."""
        memory = snapshot_files.begin(folder)
        try:
            snapshot_files.finish(folder, snapshot, memory)
        finally:
            os.close(memory)

    def load(self, folder: str) -> Snapshot:
        """See `Guest.load`."""
        return snapshot_files.load(folder)

    def counters(self, config: Json, slots: Slots) -> Json:
        """See `Guest.counters`."""
        answer: Json = {str(disk["id"]): disk_counters({}) for disk in devices(config, "disks") if "id" in disk}
        names = ("tx_bytes", "tx_frames", "rx_frames", "rx_bytes")
        return answer | {str(net["id"]): dict.fromkeys(names, 0) for net in devices(config, "net") if "id" in net}

    def fileno(self) -> int | None:
        """See `LivingGuest.fileno`."""
        return self._ready.fileno() if self.running and not self._is_paused else None

    def take_events(self) -> list[GuestEvent]:
        """See `LivingGuest.take_events`; serves the guest's sockets on the way."""
        if self._is_paused:
            return []
        told: list[GuestEvent] = [*self._unplugged]
        self._unplugged.clear()
        for descriptor, _ in self._ready.poll(0):
            if self._serial is not None and descriptor == self._serial.fileno():
                self._greet(self._serial)
            elif self._health is not None and descriptor == self._health.fileno():
                self._answer(self._health)
            elif descriptor == self._ends:
                ended = GuestEnd.CRASHED if b"c" in os.read(self._ends, 64) else GuestEnd.POWERED_OFF
                told.append(ended)
        return told

    def power_off(self) -> None:
        """The guest powers off by itself."""
        os.write(self._end_writer, b"p")

    def crash(self) -> None:
        """The guest dies."""
        os.write(self._end_writer, b"c")

    def close(self) -> None:
        """Give every descriptor back."""
        self.stop()
        self.close_serial()
        self._ready.close()
        os.close(self._ends)
        os.close(self._end_writer)

    def _start_on_host(self) -> None:
        if self._serial is not None:
            self._ready.register(self._serial, select.EPOLLIN)
        for key, ending in (("dies-after", self.crash), ("powers-off-after", self.power_off)):
            if key in self._script:
                self._timer = threading.Timer(float(self._script[key]), ending)
                self._timer.daemon = True
                self._timer.start()
        if "listens" in self._script:
            address, _, port = self._script["listens"].rpartition(":")
            self._health = socket.create_server((address, int(port)))
            self._health.setblocking(False)
            self._ready.register(self._health, select.EPOLLIN)

    def _greet(self, serial: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client, _ = serial.accept()
            self._clients.append(client)
            client.send(self._script.get("says", "fake guest booted").encode() + b"\r\n")

    def _answer(self, health: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client, _ = health.accept()
            with client:
                client.settimeout(0.2)
                client.recv(65_536)
                client.send(HTTP_ANSWER)


class FakeHypervisor:
    """A hypervisor in memory (the `Hypervisor` port) with the recorded state machine; use as a context manager.

    `requests` are the endpoints asked for, in order. `power_off` and `crash` end the guest, and with it the process:
    from then on every request raises Unavailable. `on_host`: the configuration's files and sockets are opened for real.
    """

    def __init__(self, *, on_host: bool = False) -> None:
        self.requests: list[str] = []
        self.configs: list[VmConfig] = []
        self.has_ended = False
        self._guest = ScriptedGuest(on_host=on_host)
        self._machine = Machine(self._guest, random_mac=random_mac)

    def __enter__(self) -> "FakeHypervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._guest.close()

    async def ping(self) -> VmmIdentity:
        """See `Hypervisor.ping`."""
        self._take("vmm.ping")
        return VmmIdentity(version=VERSION, pid=os.getpid())

    async def create(self, config: VmConfig) -> None:
        """See `Hypervisor.create`."""
        self.configs.append(config)
        self._handle(Request.CREATE, json.dumps(create_request(config)).encode())

    async def info(self) -> VmInfo:
        """See `Hypervisor.info`."""
        return VmInfo.from_json(self._handle(Request.INFO))

    async def counters(self) -> Counters:
        """See `Hypervisor.counters`."""
        return counters_from_json(self._handle(Request.COUNTERS))

    async def act(self, action: VmAction) -> None:
        """See `Hypervisor.act`."""
        if action is VmAction.SHUTDOWN_VMM:
            self._take(action.value)
            self._end()
        else:
            self._handle(Request(action.value))

    async def add_disk(self, disk: Disk) -> PciDevice | None:
        """See `Hypervisor.add_disk`."""
        return PciDevice.from_json(self._handle(Request.ADD_DISK, json.dumps(disk_request(disk)).encode()))

    async def remove_device(self, device: str) -> None:
        """See `Hypervisor.remove_device`."""
        self._handle(Request.REMOVE_DEVICE, json.dumps({"id": device}).encode())

    async def resize(self, size: Size) -> None:
        """See `Hypervisor.resize`."""
        self._handle(Request.RESIZE, json.dumps(resize_request(size)).encode())

    async def snapshot(self, folder: str) -> None:
        """See `Hypervisor.snapshot`."""
        self._handle(Request.SNAPSHOT, json.dumps({"destination_url": folder_url(folder)}).encode())

    async def restore(self, folder: str, *, resume: bool) -> None:
        """See `Hypervisor.restore`."""
        body = {"source_url": folder_url(folder), "resume": resume}
        self._handle(Request.RESTORE, json.dumps(body).encode())

    def power_off(self) -> None:
        """The guest powers off by itself: the process ends, as a real one does."""
        self._end()

    crash = power_off

    def _take(self, request: str) -> None:
        if self.has_ended:
            raise Unavailable(f"{request}: nothing answers: the fake hypervisor has ended")
        self.requests.append(request)

    def _handle(self, request: Request, body: bytes = b"") -> Json | None:
        self._take(request.value)
        try:
            return self._machine.handle(request, body)
        except Refused as refused:
            raise HypervisorRefused(request=request.value, status=refused.status, causes=refused.causes) from refused
        finally:
            self._hear()

    def _hear(self) -> None:
        """What the guest did by itself."""
        for event in self._guest.take_events() if self._guest.running else ():
            if isinstance(event, GuestEnd):
                self._end()
                return
            self._machine.guest_told(event)

    def _end(self) -> None:
        if not self.has_ended:
            self._machine.end()
        self.has_ended = True


def make_guest(_options: Options, _log: Callable[[str], None]) -> ScriptedGuest:
    """The program's guest."""
    return ScriptedGuest(on_host=True)


def main() -> None:
    """Run the fake as a program; exits as a real one does."""
    sys.exit(run(PROGRAM, sys.argv[1:], make_guest))


if __name__ == "__main__":
    main()
