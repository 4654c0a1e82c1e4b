"""`procurator-cache`: settings, the token's file, uvicorn and its signals; it decides nothing about an upload.

Exit codes: 0 told to stop and stopped; 1 an expected failure (an address in use, a token that others can read);
2 wrong options or settings.
"""

import asyncio  # noqa: TID251 - the cache's server is the one service on asyncio: uvicorn serves 9x what trio does
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import click
import uvicorn

from ci_service.cache.access import UploadToken
from ci_service.cache.connection import Bounds, bounded_protocol
from ci_service.cache.files import CacheFiles
from ci_service.cache.http import CacheApp
from ci_service.cache.quick import QuickReads
from ci_service.cache.settings import Settings
from ci_service.cache.uploading import UploadLimits, Uploads
from schema.errors import InvalidInput, PermissionDenied, ProcuratorError
from schema.http import address_text, listen
from schema.log import LogFormat, set_up_logging
from schema.service import EXIT_FAILED, EXIT_SETTINGS, procurator_version, write_ready
from schema.settings import load
from schema.signing import parse_public_keys

log = logging.getLogger(__name__)


def read_token(path: Path) -> UploadToken:
    """The token in `path`. Raises PermissionDenied when others than its owner can read it, InvalidInput otherwise."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput(f"upload_token_file {path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"upload_token_file {path} is not a file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise PermissionDenied(f"upload_token_file {path} has mode {mode:04o}, others can use it: chmod 0600 it")
        return UploadToken.parse(os.read(descriptor, 4096))
    finally:
        os.close(descriptor)


def cache_app(settings: Settings) -> CacheApp:
    """The app over the settings' directory, which is made ready. Raises InvalidInput and PermissionDenied."""
    token = read_token(settings.upload_token_file) if settings.upload_token_file else None
    files = CacheFiles(settings.directory)
    try:
        files.prepare()
    except OSError as error:
        raise InvalidInput(f"directory {settings.directory} cannot be used: {error}") from error
    limits = UploadLimits(
        max_upload_bytes=settings.max_upload_bytes,
        max_nar_bytes=settings.max_nar_bytes,
        stall_seconds=settings.limits.stall_seconds,
        bytes_per_second=settings.limits.upload_bytes_per_second,
        at_once=settings.limits.uploads_at_once,
    )
    return CacheApp(files, Uploads(files, parse_public_keys(settings.public_keys), limits), token)


class ReadyServer(uvicorn.Server):
    """uvicorn's server that says when it listens."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._ready()


def server_config(app: CacheApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn runs: httptools on asyncio, bounded (see `connection.py`), logging through ours."""
    bounds = Bounds(
        header_seconds=settings.limits.header_seconds,
        unread_seconds=settings.limits.unread_seconds,
        connections=settings.limits.connections,
    )
    return uvicorn.Config(
        app,
        http=bounded_protocol(bounds, QuickReads(app.files)),
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )


def serve(settings: Settings, *, ready: Callable[[Mapping[str, str]], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises ProcuratorError for what keeps it from starting."""
    app = cache_app(settings)
    with listen(host=settings.listen.host, port=settings.listen.port) as listening:
        addresses = {"http": address_text(listening)}
        server = ReadyServer(server_config(app, settings), ready=lambda: ready(addresses))
        asyncio.run(server.serve(sockets=[listening]))


def _announce(ready_file: Path | None, addresses: Mapping[str, str]) -> None:
    log.info("cache listens on %s", ", ".join(f"{what} {where}" for what, where in addresses.items()))
    if ready_file is not None:
        write_ready(ready_file, addresses)


def _stop(number: int, _frame: FrameType | None) -> None:
    """End by exit code 0: uvicorn raises the signal again after its graceful end."""
    log.info("cache stops: %s", signal.Signals(number).name)
    sys.exit(0)


@click.command(name="procurator-cache", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="The settings file (TOML).")
@click.option("--print-config", is_flag=True, help="Show each setting and where it came from, and exit.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.version_option(procurator_version())
def main(*, config: Path | None, print_config: bool, log_format: LogFormat, log_level: str) -> None:
    """Run Procurator's binary cache: it speaks Nix's binary cache protocol to any Nix client."""
    try:
        loaded = load(Settings, service="cache", path=config, environ=os.environ)
    except ProcuratorError as error:
        click.echo(f"procurator-cache: {error.message}", err=True)
        sys.exit(EXIT_SETTINGS)
    if print_config:
        for line in loaded.lines():
            click.echo(line)
        return
    set_up_logging(log_format=log_format, level=log_level)
    for quiet in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        serve(loaded.settings, ready=lambda addresses: _announce(loaded.settings.runtime.ready_file, addresses))
    except ProcuratorError as error:
        log.critical("cache ends: %s", error.message)
        sys.exit(EXIT_FAILED)
