"""cloud-hypervisor's hybrid vsock for the dev hypervisor: its socket on the host, a virtio-serial port to the guest.

A client connects and says `CONNECT <port>`; when the guest takes it, it hears `OK <number>` and both are connected;
else the connection ends (protocol: cloud-hypervisor, docs/vsock.md). A thread of its own moves the bytes.
"""

import contextlib
import os
import re
import selectors
import socket
import threading
from collections.abc import Callable

from worker.vmm.dev.files import listen
from worker.vmm.dev.mux import (
    MOST_CONNECTIONS,
    WINDOW,
    Frame,
    Garbled,
    Kind,
    Reader,
    encoded,
    number,
    number_of,
)

READ_BYTES = 65_536
MOST_UNSENT = 1 << 20
"""Bytes for the guest that wait here; beyond it clients are not read."""
MOST_OWED = 4 << 20
"""Beyond it, which no reading guest lets come, whatever is connected is ended: it asks for answers and takes none."""
_GREETING = re.compile(rb"CONNECT ([0-9]{1,10})\r?\n")
_LONGEST_GREETING = 32
_MOST_NUMBER = 0xFFFF_FFFF


class _Client:
    """One connection of the host's side."""

    def __init__(self, connected: socket.socket, ident: int) -> None:
        self.socket = connected
        self.ident = ident
        self.greeting = b""
        self.is_open = False
        self.is_accepted = False
        self.credit = WINDOW
        self.unsent = bytearray()
        self.taken = 0
        self.interest = 0
        self.is_done = False
        """The guest has said all."""
        self.has_finished = False
        """The client has said all."""


class VsockRelay:
    """From boot to the guest's end; `guest_side` is what QEMU's port gets. Raises OSError when the path is in use."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = listen(path)
        os.chmod(path, 0o600)  # noqa: PTH101 - pathlib is not loaded for one call
        self._wire, self.guest_side = socket.socketpair()
        self._wake_read, self._wake_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._reader = Reader()
        self._clients: dict[int, _Client] = {}
        self._next = 1
        self._to_guest = bytearray()
        self._greeted = False
        self._was_reset = False
        self._ending = False
        self._thread = threading.Thread(target=self._live, name="vsock", daemon=True)

    def start(self, *, restored: bool = False) -> None:
        """Begin, once QEMU has inherited its side.

        A guest that was `restored` goes on where it was saved: its agent has greeted long ago, and may still hold
        connections of then, whose numbers no new one may have.
        """
        self.guest_side.close()
        if restored:
            self._greeted, self._reader = True, Reader(greeted=True)
            self._next = int.from_bytes(os.urandom(4), "big") % _MOST_NUMBER + 1
        self._thread.start()

    def guest_was_reset(self) -> None:
        """Whatever was connected is not any more; from any thread."""
        self._was_reset = True
        os.write(self._wake_write, b"r")

    def stop(self) -> None:
        """End, and remove the socket."""
        self._ending = True
        os.write(self._wake_write, b"e")
        if self._thread.is_alive():
            self._thread.join(5)
        self._close()

    def _close(self) -> None:
        for client in list(self._clients.values()):
            client.socket.close()
        for each in (self._listener, self._wire, self.guest_side):
            each.close()
        self._selector.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - as above
        for descriptor in (self._wake_read, self._wake_write):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _live(self) -> None:
        self._listener.setblocking(False)
        self._wire.setblocking(False)
        self._watch(self._listener, selectors.EVENT_READ, lambda _: self._accept())
        self._watch(self._wire, selectors.EVENT_READ, self._on_wire)
        self._selector.register(self._wake_read, selectors.EVENT_READ, lambda _: self._woken())
        while not self._ending:
            for key, mask in self._selector.select():
                key.data(mask)
                if self._ending:
                    return
            self._flush_wire()
            self._set_interest()

    def _watch(self, watched: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        self._selector.register(watched, events, callback)

    def _woken(self) -> None:
        os.read(self._wake_read, 64)
        if self._was_reset:
            self._was_reset = False
            self._lose_guest()

    def _lose_guest(self) -> None:
        self._reader.lose()
        self._greeted, self._to_guest = False, bytearray()
        for client in list(self._clients.values()):
            self._drop(client)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it went again, or there is no descriptor for it
            connected, _ = self._listener.accept()
            if len(self._clients) >= MOST_CONNECTIONS:
                connected.close()
                return
            connected.setblocking(False)
            client = _Client(connected, self._next)
            self._next = self._next % _MOST_NUMBER + 1
            self._clients[client.ident] = client
            self._watch_client(client, selectors.EVENT_READ)

    def _on_client(self, client: _Client, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and client.ident in self._clients:
            self._flush(client)
        if mask & selectors.EVENT_READ and client.ident in self._clients:
            self._read(client)

    def _read(self, client: _Client) -> None:
        room = min(client.credit, READ_BYTES) if client.is_open else _LONGEST_GREETING - len(client.greeting)
        try:
            data = client.socket.recv(max(room, 1))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not client.is_open:
            self._greet(client, data)
        elif data:
            client.credit -= len(data)
            self._send(Kind.DATA, client.ident, data)
        else:
            client.has_finished = True
            self._send(Kind.FINISHED, client.ident)

    def _greet(self, client: _Client, data: bytes) -> None:
        """Byte by byte up to the end of the line: what comes behind it is the guest's."""
        client.greeting += data
        found = _GREETING.match(client.greeting)
        if found is None:
            if not data or b"\n" in client.greeting or len(client.greeting) >= _LONGEST_GREETING:
                self._drop(client)
            return
        if not self._greeted:
            self._drop(client)  # nobody listens in the guest
            return
        rest = client.greeting[found.end() :]
        client.is_open = True
        client.credit -= len(rest)
        self._send(Kind.OPEN, client.ident, number(min(int(found[1]), _MOST_NUMBER)))
        if rest:
            self._send(Kind.DATA, client.ident, rest)

    def _send(self, kind: Kind, connection: int, payload: bytes = b"") -> None:
        self._to_guest += encoded(kind, connection, payload)
        if len(self._to_guest) > MOST_OWED:
            self._lose_guest()

    def _flush_wire(self) -> None:
        try:
            while self._to_guest:
                del self._to_guest[: self._wire.send(self._to_guest)]
        except BlockingIOError:
            pass
        except OSError:
            self._ending = True

    def _on_wire(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush_wire()
        if not mask & selectors.EVENT_READ:
            return
        try:
            data = self._wire.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ending = True  # QEMU has gone
            return
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except Garbled:
            self._lose_guest()

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.HELLO:
            # A fresh agent, also where the one before it ended without a reset of the guest.
            for client in list(self._clients.values()):
                if client.is_open:
                    self._drop(client)
            self._greeted, self._to_guest = True, bytearray()
            self._send(Kind.HELLO, 0, frame.payload)
            return
        known = self._clients.get(frame.connection)
        if known is not None:
            self._take_of(known, frame)
        elif frame.kind is Kind.DATA:
            self._send(Kind.RESET, frame.connection)  # of a client that has gone, or of before a restore

    def _take_of(self, client: _Client, frame: Frame) -> None:
        match frame.kind:
            case Kind.ACCEPTED if not client.is_accepted:
                client.is_accepted = True
                client.unsent += f"OK {client.ident}\n".encode()
            case Kind.DATA if client.is_accepted:
                client.unsent += frame.payload
                client.taken += len(frame.payload)
                if len(client.unsent) > 2 * WINDOW:
                    self._send(Kind.RESET, client.ident)
                    self._drop(client)
                    return
            case Kind.CREDIT:
                client.credit = min(client.credit + number_of(frame.payload), WINDOW)
            case Kind.FINISHED if client.is_accepted:
                client.is_done = True
            case Kind.RESET:
                client.is_done = client.has_finished = True  # what came before it is its client's still
            case _:
                self._drop(client)
                return
        self._flush(client)

    def _flush(self, client: _Client) -> None:
        try:
            while client.unsent:
                del client.unsent[: client.socket.send(client.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._send(Kind.RESET, client.ident)
            self._drop(client)
            return
        if client.is_done:
            self._drop(client)
        elif client.taken >= WINDOW // 2:
            self._send(Kind.CREDIT, client.ident, number(client.taken))
            client.taken = 0

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.ident, None) is not None:
            self._watch_client(client, 0)
            client.socket.close()

    def _set_interest(self) -> None:
        read, write = selectors.EVENT_READ, selectors.EVENT_WRITE
        self._selector.modify(self._wire, read | (write if self._to_guest else 0), self._on_wire)
        full = len(self._to_guest) > MOST_UNSENT
        for client in self._clients.values():
            wants = 0 if full or client.has_finished or client.credit <= 0 else read
            self._watch_client(client, wants | (write if client.unsent else 0))

    def _watch_client(self, client: _Client, wants: int) -> None:
        """A selector knows no empty interest: who wants nothing is not in it."""
        if wants == client.interest:
            return
        if client.interest:
            self._selector.unregister(client.socket)
        if wants:
            self._selector.register(client.socket, wants, lambda mask: self._on_client(client, mask))
        client.interest = wants
