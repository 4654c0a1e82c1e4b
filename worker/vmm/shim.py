"""Holds one VM's hypervisor: starts it, keeps its exit and its output, answers on a control socket; it decides nothing.

A process of its own, forked by the spawner (`spawner.py`), with nothing but the standard library and a few small
modules of ours: one stays beside every VM and outlives the worker. How it comes to be is `holding.py`'s.

Control socket: one JSON object a line, answered by one. `{"op": "status"}`; `{"op": "kill", "signal": "TERM" | "KILL"}`
signals the hypervisor's whole session; `{"op": "attach"}` answers when the serial socket is connected, so that a boot
after it loses no output; `{"op": "fence", "lease": PATH | "-"}` puts the VM under a lease from now on, or under none;
`{"op": "console"}` makes the connection the guest's console: what follows the answer are its bytes, both ways.

What is trusted lies in the runtime directory itself: our files and the API's socket, which we listen on and hand down.
What the hypervisor makes itself (serial, vsock) is in `v/`, which is its own where it has a user of its own; whoever
listens there is asked for his user before a byte goes to him.
"""

import contextlib
import errno
import json
import os
import selectors
import signal
import socket
import time

from worker.vmm.child import Child
from worker.vmm.fence import NONE, Fence, boot_id, boottime_ns, fork_guard
from worker.vmm.order import Order
from worker.vmm.shim_files import (
    OWN_DIRECTORY,
    RingLog,
    listen,
    listener_of,
    now,
    start_time,
)

READ_BYTES = 65_536
LINE_BYTES = 4_096
MAX_CLIENTS = 16
CONSOLE_BYTES = 262_144
"""What waits for a console that does not read, or for a guest that does not; beyond it the console is hung up on."""
OUTPUT_CAP_BYTES = 262_144
API_BACKLOG = 16
SOON_SECONDS, LATER_SECONDS, EAGER_TRIES = 0.05, 0.5, 40
DRAIN_SECONDS = 0.5


class Shim:
    """One hypervisor, one selector loop, until it has ended."""

    def __init__(self, order: Order, child: Child) -> None:
        self._child = child
        self._pid = child.pid
        self._directory = order.directory
        self._confinement = order.confinement
        self._fence = None if order.lease == NONE else Fence(order.lease)
        self._guard = 0
        self._order = order
        self._selector = selectors.DefaultSelector()
        self._serial_log = RingLog(f"{order.directory}/serial.log", order.log_bytes)
        self._output_log = RingLog(f"{order.directory}/hypervisor.log", OUTPUT_CAP_BYTES)
        self._serial: socket.socket | None = None
        self._tries = 0
        self._next_wake = 0.0
        self._attaching: list[socket.socket] = []
        self._clients: dict[socket.socket, bytes] = {}
        self._consoles: dict[socket.socket, bytes] = {}
        self._typed = b""
        self._status: dict[str, object] = {}

    def start(self) -> None:
        """Listen for control, record the child, let it become the hypervisor; raises OSError.

        A lease that is over starts nothing. What is not recorded (the disk is full, we are killed) never runs.
        """
        if self._fence and self._fence.has_passed():
            raise OSError(errno.ETIME, "the lease of this worker has run out")
        self._listener = listen(f"{self._directory}/control.sock", backlog=MAX_CLIENTS)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._output, theirs = os.pipe2(os.O_CLOEXEC)
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        with listen(f"{self._directory}/api.sock", backlog=API_BACKLOG) as api:
            self._child.tell(self._order, output=theirs, api=api.fileno())
        os.close(theirs)
        self._watch()
        try:
            self._child.let_go()
        except OSError:
            os.unlink(f"{self._directory}/process.json")  # noqa: PTH108 - pathlib costs memory beside every VM
            raise

    def _watch(self) -> None:
        os.set_blocking(self._output, False)
        self._pidfd = os.pidfd_open(self._pid)
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._ended)
        self._selector.register(self._output, selectors.EVENT_READ, self._hear)
        signal.signal(signal.SIGTERM, lambda *_: self._signal(signal.SIGTERM))
        self._status = {
            "pid": self._pid,
            "startTime": start_time(self._pid),
            "shimPid": os.getpid(),
            "shimStartTime": start_time(os.getpid()),
            "bootId": boot_id(),
            "startedAt": now(),
            "begunNs": boottime_ns(),
            "lease": self._fence.path if self._fence else NONE,
            "exit": None,
        }
        self._keep_fence()
        self._record()

    def run(self) -> None:
        """Serve until the hypervisor has ended and its exit is recorded."""
        while self._status["exit"] is None:
            wait = None if self._serial else max(0.0, self._next_wake - time.monotonic())
            if self._fence:
                wait = self._fence.wait_seconds() if wait is None else min(wait, self._fence.wait_seconds())
            for key, mask in self._selector.select(wait):
                if mask & selectors.EVENT_WRITE:
                    self._flush(key.fileobj)
                if mask & selectors.EVENT_READ:
                    key.data(key.fileobj)
            if self._serial is None:
                self._connect_serial()
            self._keep_fence()

    # The fence

    def _keep_fence(self) -> None:
        """End the hypervisor when its lease is over; until then have a guard that would, were we killed or stopped."""
        if self._fence is None or self._status["exit"] is not None:
            return
        if self._fence.has_passed():
            self._signal(signal.SIGKILL)
        if self._guard and os.waitpid(self._guard, os.WNOHANG)[0]:
            self._guard = 0
        if not self._guard:
            self._guard = fork_guard(self._fence, pid=self._pid, pidfd=self._pidfd)

    def _end_guard(self) -> None:
        if self._guard:
            os.kill(self._guard, signal.SIGKILL)
            os.waitpid(self._guard, 0)
            self._guard = 0

    def give_up(self) -> None:
        """End what has just been started: `run` records that it has ended."""
        self._signal(signal.SIGKILL)

    def _set_fence(self, lease: str) -> None:
        self._end_guard()
        self._fence = None if lease == NONE else Fence(lease)
        self._status["lease"] = lease
        self._record()
        self._keep_fence()

    # The hypervisor

    def _ended(self, _: object) -> None:
        """Its last words, the rest of its session, its exit. Signalled before it is reaped: its id is still its own."""
        if self._serial is not None:
            self._serial.settimeout(DRAIN_SECONDS)
            while self._serial is not None:
                self._read_serial(self._serial)
        self._signal(signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self._hear(self._output)
        code = os.waitstatus_to_exitcode(status)
        self._status["exit"] = {
            "code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "at": now(),
            "fenced": code == -signal.SIGKILL and self._fence is not None and self._fence.has_passed(),
        }
        self._end_guard()
        self._record()
        os.unlink(f"{self._directory}/control.sock")  # noqa: PTH108 - as above

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, number)

    def _hear(self, _: object) -> None:
        try:
            while data := os.read(self._output, READ_BYTES):
                self._output_log.write(data)
        except BlockingIOError:
            return
        if self._output in self._selector.get_map():
            self._selector.unregister(self._output)

    def _record(self) -> None:
        fresh = f"{self._directory}/.process.json.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(descriptor, json.dumps(self._status).encode())
        os.close(descriptor)  # not synced: it speaks of a process, and after a power cut there is none
        os.replace(fresh, f"{self._directory}/process.json")  # noqa: PTH105 - as above

    # The serial socket

    def _connect_serial(self) -> None:
        if time.monotonic() < self._next_wake:
            return
        serial = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            serial.setblocking(False)
            serial.connect(f"{self._directory}/{OWN_DIRECTORY}/tty.sock")
            if listener_of(serial) != self._confinement.uid:
                raise PermissionError(errno.EPERM, "somebody else listens there")
        except OSError:
            serial.close()
            self._tries += 1
            self._next_wake = time.monotonic() + (SOON_SECONDS if self._tries < EAGER_TRIES else LATER_SECONDS)
            return
        self._serial = serial
        self._selector.register(serial, selectors.EVENT_READ, self._read_serial)
        for client in self._attaching:
            self._answer(client, {"ok": True})
        self._attaching = []

    def _read_serial(self, serial: socket.socket) -> None:
        try:
            data = serial.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._serial_log.write(data)
            for console in list(self._consoles):
                self._show(console, data)
            return
        self._selector.unregister(serial)
        serial.close()
        self._serial, self._typed = None, b""
        self._tries = 0
        self._next_wake = time.monotonic() + SOON_SECONDS

    # The control socket

    def _accept(self, _: object) -> None:
        try:
            client, _address = self._listener.accept()
        except OSError:
            return
        if len(self._clients) + len(self._consoles) >= MAX_CLIENTS:
            client.close()
            return
        client.setblocking(False)
        self._clients[client] = b""
        self._selector.register(client, selectors.EVENT_READ, self._read_client)

    def _read_client(self, client: socket.socket) -> None:
        try:
            data = client.recv(LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, rest = (self._clients[client] + data).split(b"\n")
        if not data or len(rest) > LINE_BYTES:
            self._drop(client)
            return
        self._clients[client] = rest
        for line in lines:
            self._obey(client, line)

    def _obey(self, client: socket.socket, line: bytes) -> None:
        try:
            asked = json.loads(line)
            operation = asked["op"]
        except (ValueError, KeyError, TypeError, RecursionError):
            self._answer(client, {"ok": False, "error": "not a JSON object with an op"})
            return
        if operation == "status":
            self._answer(client, {"ok": True, "status": self._status, "attached": self._serial is not None})
        elif operation == "kill" and asked.get("signal", "KILL") in ("TERM", "KILL"):
            self._signal(signal.SIGTERM if asked.get("signal") == "TERM" else signal.SIGKILL)
            self._answer(client, {"ok": True})
        elif operation == "attach":
            self._attaching.append(client)
            self._tries, self._next_wake = 0, 0.0
            if self._serial is not None:
                self._answer(self._attaching.pop(), {"ok": True})
        elif operation == "console":
            self._answer(client, {"ok": True})
            self._become_console(client)
        elif operation == "fence" and isinstance(asked.get("lease"), str):
            self._set_fence(asked["lease"])
            self._answer(client, {"ok": True})
        else:
            self._answer(client, {"ok": False, "error": f"unknown request {line[:200].decode(errors='replace')}"})

    def _answer(self, client: socket.socket, answer: dict[str, object]) -> None:
        try:
            client.send(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._drop(client)

    # The console

    def _become_console(self, client: socket.socket) -> None:
        if self._clients.pop(client, None) is None:
            return  # it did not take the answer
        self._consoles[client] = b""
        self._selector.modify(client, selectors.EVENT_READ, self._read_console)

    def _read_console(self, console: socket.socket) -> None:
        try:
            data = console.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(self._typed) > CONSOLE_BYTES:
            self._drop(console)
            return
        if self._serial is not None:
            self._typed += data
            self._flush(self._serial)

    def _show(self, console: socket.socket, data: bytes) -> None:
        self._consoles[console] += data
        self._flush(console)

    def _flush(self, sink: object) -> None:
        """Send what waits for the guest or for a console, as far as it takes it now."""
        if not isinstance(sink, socket.socket):
            return
        is_guest = sink is self._serial
        waiting = self._typed if is_guest else self._consoles.get(sink, b"")
        try:
            while waiting:
                waiting = waiting[sink.send(waiting) :]
        except BlockingIOError:
            pass
        except OSError:
            waiting = b""
        if is_guest:
            self._typed = waiting
        elif sink not in self._consoles:
            return
        elif len(waiting) > CONSOLE_BYTES:
            self._drop(sink)
            return
        else:
            self._consoles[sink] = waiting
        reader = self._read_serial if is_guest else self._read_console
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting else 0)
        self._selector.modify(sink, events, reader)

    def _drop(self, client: socket.socket) -> None:
        if self._consoles.pop(client, None) is not None:
            self._selector.unregister(client)
            client.close()
        if self._clients.pop(client, None) is not None:
            self._selector.unregister(client)
            client.close()
        self._attaching = [waiting for waiting in self._attaching if waiting is not client]
