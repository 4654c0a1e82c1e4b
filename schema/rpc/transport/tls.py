"""TLS under a TCP connection: settings, contexts and the handshake; it issues no certificate and opens no socket.

OpenSSL reads and writes the socket itself (`SSLSocket`, never blocking), and gives its buffers back while a connection
is idle: nothing of a message is kept twice. All connections of one configuration share a context.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import trio

from schema.errors import DeadlineExceeded, InvalidInput, Unauthenticated, Unavailable


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server shows: a certificate (PEM, with the chain below the CA) and its key, as files.

    They are looked at every `look_seconds`; what they are renewed to, new connections get.
    """

    certificate: Path
    key: Path
    look_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a client believes: a file of certificates (PEM) that sign servers', and the name that the server's has."""

    ca: Path
    name: str


def server_tls(certificate: Path | None, key: Path | None) -> ServerTls | None:
    """What settings ask for; None for neither. Raises InvalidInput for one without the other."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("TLS needs both a certificate and its key, or neither")
    return ServerTls(certificate, key)


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """The context of all of a server's connections, from the files as they are now. Raises InvalidInput naming them."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # a full handshake costs less than keeping and sending what would shorten the next one
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"TLS: cannot use {tls.certificate} with {tls.key}: {_words(error)}") from error
    return context


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """The context of all connections to servers that `tls` believes. Raises InvalidInput that names the file."""
    try:
        return _client_context(tls, tls.ca.stat().st_mtime_ns)
    except OSError as error:
        raise InvalidInput(f"TLS: cannot use {tls.ca} as a CA: {_words(error)}") from error


@lru_cache(maxsize=8)
def _client_context(tls: ClientTls, _changed_ns: int) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=tls.ca)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"TLS: cannot use {tls.ca} as a CA: {_words(error)}") from error
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # both ends are ours
    return context


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)


async def accept_tls(sock: socket.socket, context: ssl.SSLContext, *, deadline: float) -> socket.socket:
    """The accepted `sock` once its peer has shaken hands; `sock` is closed where that fails.

    Raises Unavailable and DeadlineExceeded.
    """
    sock.setblocking(False)
    return await _shaken(lambda: context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), deadline)


async def dial_tls(sock: socket.socket, tls: ClientTls, *, deadline: float) -> socket.socket:
    """The connected `sock` once the server has shown who it is; `sock` is closed where that fails.

    Raises Unauthenticated for a server that is not believed, Unavailable for one that speaks no TLS, DeadlineExceeded.
    """
    try:
        context = client_context(tls)
    except InvalidInput:
        sock.close()
        raise
    return await _shaken(
        lambda: context.wrap_socket(sock, server_hostname=tls.name, do_handshake_on_connect=False), deadline
    )


async def _shaken(wrap: Callable[[], ssl.SSLSocket], deadline: float) -> socket.socket:
    try:
        secured = wrap()
    except OSError as error:  # it left already, and the socket is closed
        raise Unavailable(f"the TLS handshake failed: {_words(error)}") from error
    with ExitStack() as undo:
        undo.callback(secured.close)
        try:
            with trio.move_on_after(deadline):
                await _shake(secured)
                undo.pop_all()
                return secured
        except ssl.SSLCertVerificationError as error:
            raise Unauthenticated(f"the server's certificate is not believed: {_words(error)}") from error
        except OSError as error:
            raise Unavailable(f"the TLS handshake failed: {_words(error)}") from error
    raise DeadlineExceeded(f"no TLS handshake within {deadline:g} s")


async def _shake(secured: ssl.SSLSocket) -> None:
    while True:
        try:
            secured.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(secured)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(secured)
        else:
            return
