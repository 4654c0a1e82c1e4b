"""The local control plane's status over its HTTP, by the standard library alone; what it cannot have, RPC explains.

`pcr status` is asked for all the time, and most of its time is imports: without the RPC it needs no trio and no
Cap'n Proto, which halves it.
"""

import json
import socket
from dataclasses import dataclass
from pathlib import Path

SECONDS = 5.0
MAX_BYTES = 64 * 1024 * 1024
_REQUEST = b"GET /v1/status HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"


@dataclass(frozen=True, slots=True)
class LocalHttp:
    """Where the local control plane said that it listens."""

    host: str
    port: int


def local_http(ready_file: Path) -> LocalHttp | None:
    """The address in the control plane's ready file, while the process that wrote it lives."""
    try:
        ready = json.loads(ready_file.read_text(encoding="utf-8"))
        host, _, port = str(ready["addresses"]["http"]).rpartition(":")
        if not Path(f"/proc/{int(ready['pid'])}").exists():
            return None
        return LocalHttp(host.strip("[]"), int(port))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_status(where: LocalHttp) -> bytes | None:
    """The JSON of its ClusterStatus, or None for whatever reason."""
    try:
        with socket.create_connection((where.host, where.port), timeout=SECONDS) as connection:
            connection.sendall(_REQUEST)
            answer = bytearray()
            while data := connection.recv(1 << 16):
                answer += data
                if len(answer) > MAX_BYTES:
                    return None
    except OSError:
        return None
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    status, *headers = head.lower().split(b"\r\n")
    if status.split(b" ")[1:2] != [b"200"] or b"content-length: %d" % len(body) not in headers:
        return None
    return body
