"""The HTTP of cloud-hypervisor's API server as recorded (facts §2), as bytes in and bytes out; it opens no socket."""

import json
from typing import NamedTuple

MAX_BODY_BYTES = 51_200
MAX_HEAD_BYTES = 8_192
SILENT_BODY_BYTES = 16 * MAX_BODY_BYTES
"""Far over the limit a real one does not answer at all; the exact border was not recorded."""
METHODS = ("GET", "PUT", "PATCH", "DELETE")
API_ROOT = "/api/v1/"
CONTINUE = b"HTTP/1.1 100 \r\n\r\n"
DROPPED = "All previous unanswered requests will be dropped."
TOO_MANY_CONNECTIONS = "Too many open connections"


class HttpRequest(NamedTuple):
    """One request; `endpoint` is the path below the API's root, or None when the path is not below it."""

    method: str
    endpoint: str | None
    body: bytes


class Malformed(NamedTuple):
    """What the HTTP layer itself refuses, with the text of its answer."""

    text: str


class NeedsContinue(NamedTuple):
    """The client waits for `100 Continue` before it sends its body."""


class Silenced(NamedTuple):
    """A request that a real server never answers: all further input is dropped."""


Event = HttpRequest | Malformed | NeedsContinue | Silenced


class RequestReader:
    """Bytes of one connection in, events out; requests may be pipelined or come in pieces."""

    def __init__(self) -> None:
        self._buffer = b""
        self._continued = False
        self._silent = False

    def feed(self, data: bytes) -> list[Event]:
        """What `data` completes, in order."""
        if self._silent:
            return []
        self._buffer += data
        events: list[Event] = []
        while (event := self._next()) is not None:
            events.append(event)
            if isinstance(event, Malformed | Silenced):
                self._buffer = b""
            self._silent = isinstance(event, Silenced)
            if not self._buffer:
                break
        return events

    def _next(self) -> Event | None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return Malformed(f"Invalid request.\n{DROPPED}") if len(self._buffer) > MAX_HEAD_BYTES else None
        request_line, *lines = head.decode("latin-1").split("\r\n")
        parts = request_line.split(" ")
        headers = _headers(lines)
        if len(parts) != 3 or headers is None or parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
            return Malformed(f"Invalid request.\n{DROPPED}")
        if parts[0] not in METHODS:
            return Malformed(f"Invalid HTTP Method: Unsupported HTTP method.\n{DROPPED}")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
            return Malformed(f"Invalid request.\n{DROPPED}")
        size = int(length[:18])
        if size > SILENT_BODY_BYTES:
            return Silenced()
        if size > MAX_BODY_BYTES:
            return Malformed(
                f"Request payload with size {size} is larger than the limit of {MAX_BODY_BYTES} allowed by server."
                f"\n{DROPPED}"
            )
        if len(rest) < size:
            if headers.get("expect", "").lower() == "100-continue" and not self._continued:
                self._continued = True
                return NeedsContinue()
            return None
        self._buffer, self._continued = rest[size:], False
        return HttpRequest(method=parts[0], endpoint=_endpoint(parts[1]), body=rest[:size])


def _headers(lines: list[str]) -> dict[str, str] | None:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            return None
        headers[name.strip().lower()] = value.strip()
    return headers


def _endpoint(target: str) -> str | None:
    if target.startswith("http://"):
        target = "/" + target.removeprefix("http://").partition("/")[2]
    return target.removeprefix(API_ROOT) if target.startswith(API_ROOT) else None


def response(status: int, body: object = None) -> bytes:
    """An answer of the API: no reason after the status, and neither type nor length without a body."""
    head = f"HTTP/1.1 {status} \r\nServer: Cloud Hypervisor API\r\nConnection: keep-alive\r\n"
    if body is None:
        return head.encode() + b"\r\n"
    content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def layer_error(status: int, text: str, *, close: bool = False) -> bytes:
    """An answer of the HTTP layer below the API: an object whose string holds raw newlines."""
    content = f'{{ "error": "{text}" }}'.encode()
    connection = "close" if close else "keep-alive"
    head = (
        f"HTTP/1.1 {status} \r\nServer: Firecracker API\r\nConnection: {connection}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
