"""A certificate that is renewed while it is in use: new connections get the new one, old ones go on; it issues none."""

import logging
import ssl
from pathlib import Path

import trio

from schema.errors import InvalidInput
from schema.rpc.transport.tls import ServerTls, server_context

log = logging.getLogger(__name__)


FileStates = tuple[tuple[int, ...] | None, ...]


async def keep_renewed(context: ssl.SSLContext, tls: ServerTls, *, since: FileStates) -> None:
    """Load `tls` into `context` again whenever one of its files has changed, until cancelled.

    `since` is what `states_of` said before they were loaded first.

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
            server_context(tls)  # not into the one in use: a certificate without its key would stay in it
            context.load_cert_chain(tls.certificate, tls.key)
        except (InvalidInput, OSError, ValueError) as error:
            log.warning("the certificate is not renewed, the one before stays in use: %s", error)
        else:
            log.info("TLS: new connections get the certificate that %s has now", tls.certificate)


def states_of(tls: ServerTls) -> FileStates:
    """What changes when a file is written or replaced, also by a link."""
    return tuple(_of(path) for path in (tls.certificate, tls.key))


def _of(path: Path) -> tuple[int, ...] | None:
    try:
        now = path.stat()
    except OSError:
        return None
    return (now.st_mtime_ns, now.st_ino, now.st_size)
