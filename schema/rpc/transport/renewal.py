"""A certificate that is renewed while it is in use: new connections get the new one, old ones go on; it issues none."""

import logging
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from schema.errors import InvalidInput
from schema.rpc.transport.tls import ServerTls

log = logging.getLogger(__name__)


FileStates = tuple[tuple[int, ...] | None, ...]


async def keep_renewed(
    context: ssl.SSLContext, tls: ServerTls, *, make: Callable[[], ssl.SSLContext], since: FileStates
) -> None:
    """Have `context` hand each handshake to a new one of `make` whenever a file of `tls` has changed, until cancelled.

    A new one, because one in use keeps a certificate for each kind of key: after one of another kind the old one would
    still be shown to whoever prefers it. `since` is what `states_of` said before the files were loaded first.

    What does not fit together (a certificate whose key has not come yet) is said in the log, and the old pair stays.
    """
    seen = since
    while True:
        await trio.sleep(tls.look_seconds)
        now = states_of(tls)
        if now == seen:
            continue
        seen = now
        try:
            fresh = make()
        except (InvalidInput, OSError, ValueError) as error:
            log.warning("the certificate is not renewed, the one before stays in use: %s", error)
        else:
            context.sni_callback = partial(_hand_over, fresh)
            log.info("TLS: new connections get the certificate that %s has now", tls.certificate)


def _hand_over(fresh: ssl.SSLContext, shaken: ssl.SSLSocket | ssl.SSLObject, *_: object) -> None:
    """Called by OpenSSL when a client has said hello, whether it named a server or not."""
    shaken.context = fresh


def states_of(tls: ServerTls) -> FileStates:
    """What changes when a file is written or replaced, also by a link, or becomes readable."""
    return tuple(_of(path) for path in (tls.certificate, tls.key))


def _of(path: Path) -> tuple[int, ...] | None:
    try:
        now = path.stat()
    except OSError:
        return None
    return (now.st_ctime_ns, now.st_ino, now.st_size, now.st_mode)  # a ctime may be as coarse as the kernel's tick
