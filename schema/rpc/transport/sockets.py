"""Addresses, and the sockets that listen on and connect to them; nothing here knows Cap'n Proto."""

import contextlib
import errno
import fcntl
import math
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

import trio

from schema.errors import Conflict, DeadlineExceeded, InvalidInput, Unavailable
from schema.rpc.transport.tls import ClientTls, ServerTls, dial_tls

UNIX_PATH_BYTES = 107
"""What fits into `sockaddr_un` with its closing zero."""
BACKLOG = 4096
"""Connections that may wait to be accepted: a whole fleet that comes back at once."""
_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket; `mode` is what its file gets when we listen (0o600 or 0o660)."""

    path: Path
    mode: int = 0o600

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address; port 0 asks for any free one. `tls`: what a listener shows, or whom a caller believes."""

    host: str
    port: int
    tls: ServerTls | ClientTls | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse_address(text: str, *, tls: ServerTls | ClientTls | None = None) -> Address:
    """Read `unix:/path`, `/path`, `host:port` or `[v6]:port`. Raises `InvalidInput`, also for TLS on a unix socket."""
    if text.startswith(("unix:", "/")):
        path = Path(text.removeprefix("unix:"))
        if not path.is_absolute():
            raise InvalidInput(f"address {text!r}: a unix socket needs an absolute path")
        if tls is not None:
            raise InvalidInput(f"address {text!r}: a unix socket has no TLS")
        return UnixAddress(path)
    host, colon, port = text.removeprefix("tcp:").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f"address {text!r}: write unix:/path or host:port")
    return TcpAddress(host, int(port), tls)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel tells it."""

    address: str
    uid: int | None
    """The peer's user id on a unix socket (SO_PEERCRED), None over TCP."""


def peer_of(sock: socket.socket) -> Peer:
    """Ask the kernel who connected."""
    if sock.family == socket.AF_UNIX:
        pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return Peer(f"unix:uid {uid} pid {pid}", uid)
    try:
        host, port = sock.getpeername()[:2]
    except OSError:  # it left already
        return Peer("tcp:gone", None)
    return Peer(str(TcpAddress(host, port)), None)


@contextlib.contextmanager
def listen(address: Address) -> Iterator[tuple[socket.socket, Address]]:
    """A listening, non-blocking socket and its real address; a unix socket's file goes when it is left.

    Raises `Conflict` when another process serves there, `InvalidInput` for an impossible address.
    """
    match address:
        case UnixAddress():
            with _listen_unix(address) as sock:
                yield sock, address
        case TcpAddress():
            if isinstance(address.tls, ClientTls):
                raise InvalidInput(f"cannot listen on {address}: it has a caller's TLS settings, and no certificate")
            with _listen_tcp(address) as sock:
                yield sock, replace(address, port=sock.getsockname()[1])
        case _:
            assert_never(address)


@contextlib.contextmanager
def _listen_tcp(address: TcpAddress) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address.host, address.port))
            sock.listen(BACKLOG)
        except OSError as error:
            kind = Conflict if error.errno == errno.EADDRINUSE else InvalidInput
            raise kind(f"cannot listen on {address}: {error.strerror}") from error
        yield sock


@contextlib.contextmanager
def _listen_unix(address: UnixAddress) -> Iterator[socket.socket]:
    path = address.path
    if len(os.fsencode(path)) > UNIX_PATH_BYTES:
        raise InvalidInput(f"unix socket path {path} is longer than {UNIX_PATH_BYTES} bytes")
    with contextlib.ExitStack() as stack:
        # The lock decides who serves here, also between two that start at once; it dies with its process.
        stack.enter_context(_lock(path))
        _reclaim(path)
        sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        # Linux gives the file the mode that the socket has: it is never open wider, not even for a moment.
        os.fchmod(sock.fileno(), address.mode)
        try:
            sock.bind(os.fspath(path))
            path.chmod(address.mode)  # what the umask took away
            sock.listen(BACKLOG)
        except OSError as error:
            raise InvalidInput(f"cannot listen on {address}: {error.strerror}") from error
        try:
            yield sock
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    try:
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InvalidInput(f"cannot listen on unix:{path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another process already serves on unix:{path}") from None
        yield
    finally:
        os.close(handle)


def _reclaim(path: Path) -> None:
    """Remove the socket file of a process that is gone."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Conflict(f"{path} exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Conflict(f"another process already serves on unix:{path}") from error
        else:
            raise Conflict(f"another process already serves on unix:{path}")


async def dial(address: Address, *, deadline: float) -> socket.socket:
    """A connected, non-blocking socket within `deadline` seconds.

    Raises `Unavailable` when nobody listens there, `DeadlineExceeded` when nobody answers in time, and
    `Unauthenticated` when it is not the server that `address.tls` believes.
    """
    with trio.move_on_after(deadline):
        try:
            match address:
                case UnixAddress(path):
                    return await _dial_unix(path)
                case TcpAddress():
                    return await _dial_tcp(address)
                case _:
                    assert_never(address)
        except OSError as error:
            raise Unavailable(f"cannot connect to {address}: {error.strerror or error}") from error
    raise DeadlineExceeded(f"cannot connect to {address} within {deadline:g} s")


async def _dial_tcp(address: TcpAddress) -> socket.socket:
    if isinstance(address.tls, ServerTls):
        raise InvalidInput(f"cannot connect to {address}: it has a listener's TLS settings, and no CA")
    stream = await trio.open_tcp_stream(address.host, address.port)
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    return sock if address.tls is None else await dial_tls(sock, address.tls, deadline=math.inf)


async def _dial_unix(path: Path) -> socket.socket:
    # Not trio's: it takes EAGAIN, a full backlog, for a connection under way.
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        while True:
            try:
                sock.connect(os.fspath(path))
                break
            except BlockingIOError:
                await trio.sleep(0.02)
        undo.pop_all()
        return sock


def ready(sock: socket.socket) -> socket.socket:
    """Set up an accepted or connected socket."""
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # it left already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
