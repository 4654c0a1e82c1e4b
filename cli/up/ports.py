"""Find out who holds a TCP port of this machine; it binds a port only to see whether that works."""

import errno
import socket
from pathlib import Path

from schema.errors import Unavailable
from schema.log import escape_controls

_LISTENING = "0A"


def listening_inode(table: str, *, port: int) -> str | None:
    """The inode of the socket that listens on `port`, in the text of `/proc/net/tcp` or `tcp6`."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
            return fields[9]
    return None


def is_free(*, host: str, port: int) -> bool:
    """Whether one could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def holder(port: int, *, proc: Path = Path("/proc")) -> str:
    """Who listens on `port`: `nginx (pid 12)`, or `another process` where we may not see it."""
    for table in ("net/tcp", "net/tcp6"):
        inode = listening_inode((proc / table).read_text(), port=port)
        if inode is not None:
            return _owner(f"socket:[{inode}]", proc=proc) or "another process"
    return "another process"


def _owner(link: str, *, proc: Path) -> str | None:
    for process in proc.glob("[0-9]*"):
        try:
            if any(str(descriptor.readlink()) == link for descriptor in (process / "fd").iterdir()):
                command = (process / "comm").read_text().strip()
                return f"{escape_controls(command)} (pid {process.name})"
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return None


def check_free(ports: dict[int, str], *, host: str) -> None:
    """See that each of `ports` (with the service that wants it) is free. Raises Unavailable, with the way out."""
    busy = [port for port in sorted(ports) if not is_free(host=host, port=port)]
    if busy:
        rows = "".join(f"\n  port {port}, which {ports[port]} needs, is held by {holder(port)}" for port in busy)
        raise Unavailable(f"ports are taken:{rows}\nstop what holds them, or move all ports: --port-offset 1000")
