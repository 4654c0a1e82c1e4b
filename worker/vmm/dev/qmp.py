"""QEMU's control protocol over a socket: commands with deadlines, events kept in order; it starts no QEMU."""

import json
import socket
import time
from collections.abc import Mapping

from worker.vmm.dev.answers import Json

READ_BYTES = 65_536
COMMAND_SECONDS = 10.0


class QmpGone(Exception):
    """QEMU closed the socket (it ended), or did not do it."""


class QmpRefused(QmpGone):
    """QEMU would not: its own words."""


class QmpSilent(QmpGone):
    """Nothing came in time."""


class Qmp:
    """One QEMU's monitor. Replies come in the order of the commands; events that come between are kept."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = b""
        self._events: list[Json] = []
        self._asked = 0

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def greet(self, *, seconds: float) -> None:
        """Wait for QEMU's greeting and agree on capabilities; raises QmpGone."""
        deadline = time.monotonic() + seconds
        while "QMP" not in self._message(deadline):
            pass
        self.execute("qmp_capabilities")

    def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        descriptor: int | None = None,
        seconds: float = COMMAND_SECONDS,
    ) -> object:
        """Carry one command out and return its `return`; a `descriptor` goes along. Raises QmpGone, QmpRefused.

        An answer that comes after its deadline is thrown away.
        """
        deadline = time.monotonic() + seconds
        self._asked += 1
        asked = {"execute": command, "id": self._asked} | ({"arguments": arguments} if arguments else {})
        line = json.dumps(asked).encode() + b"\n"
        try:
            self._socket.settimeout(seconds)
            if descriptor is not None:
                sent = socket.send_fds(self._socket, [line], [descriptor])
                line = line[sent:]
            self._socket.sendall(line)
        except OSError as error:
            raise QmpGone(f"{command}: {error}") from error
        while True:
            message = self._message(deadline)
            if "event" in message:
                self._events.append(message)
            elif message.get("id") != self._asked:
                continue
            elif "return" in message:
                return message["return"]
            else:
                problem = message.get("error")
                raise QmpRefused(str(problem.get("desc")) if isinstance(problem, dict) else f"{command}: {problem}")

    def events(self) -> list[Json]:
        """All events so far, without waiting; an event `EOF` of ours comes last when QEMU has gone."""
        try:
            while True:
                self._events.append(self._message(time.monotonic()))
        except QmpSilent:
            pass
        except QmpGone:
            self._events.append({"event": "EOF"})
        told, self._events = self._events, []
        return told

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _message(self, deadline: float) -> Json:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            try:
                self._socket.settimeout(max(0.0, left))
                data = self._socket.recv(READ_BYTES)
            except (TimeoutError, BlockingIOError) as error:
                raise QmpSilent("QEMU did not answer in time") from error
            except OSError as error:
                raise QmpGone(str(error)) from error
            if not data:
                raise QmpGone("QEMU closed its control socket")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: Json = json.loads(line)
        return message
