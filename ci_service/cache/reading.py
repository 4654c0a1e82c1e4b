"""Answers GET and HEAD from the cache's directory; it changes nothing."""

import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

import anyio
import anyio.to_thread
from starlette.types import Receive, Send

from ci_service.cache.answers import Answer
from ci_service.cache.files import CACHE_INFO, CacheFiles
from ci_service.cache.narinfo import NarFile
from ci_service.cache.ranges import Part, Unchanged, Unsatisfiable, Whole, answer_to
from ci_service.cache.resources import CacheInfo, Health, NarInfoFile
from schema.errors import NotFound

CHUNK = 1 << 20
"""Bytes read and sent at once: large enough that the event loop's part is small beside the kernel's."""

SMALL = 256 * 1024
"""Bytes up to which a file is read and sent at once."""
NARINFO_TYPE = "text/x-nix-narinfo"
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
"""A narinfo may gain a signature, and goes when its path is no longer kept: a client asks with its ETag."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file's bytes on their way: the caller closes `descriptor` by `send_download`."""

    status: int
    headers: dict[str, str]
    descriptor: int
    start: int
    length: int


def small_answer(resource: CacheInfo | Health | NarInfoFile, *, files: CacheFiles, headers: dict[str, str]) -> Answer:
    """The whole answer for what is small. Raises NotFound."""
    match resource:
        case Health():
            return Answer(200, {"content-type": "application/json", "cache-control": "no-store"}, b'{"status":"ok"}\n')
        case CacheInfo():
            return _text(CACHE_INFO, content_type="text/x-nix-cache-info", headers=headers)
        case NarInfoFile(hash_part):
            data = files.narinfo(hash_part)
            if data is None:
                raise NotFound(f"this cache has no path with the hash {hash_part}")
            return _text(data, content_type=NARINFO_TYPE, headers=headers)
    assert_never(resource)


def text_headers(data: bytes, *, content_type: str) -> dict[str, str]:
    """The headers of a text that may change."""
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return {"content-type": content_type, "cache-control": ASK_AGAIN, "etag": etag}


def nar_headers(name: str) -> dict[str, str]:
    """The headers of a nar's file: its name is its hash, so it never changes."""
    return {
        "content-type": "application/x-nix-nar",
        "cache-control": FOREVER,
        "etag": f'"{name}"',
        "accept-ranges": "bytes",
    }


def _text(data: bytes, *, content_type: str, headers: dict[str, str]) -> Answer:
    common = text_headers(data, content_type=content_type)
    asked = {key: value for key, value in headers.items() if key == "if-none-match"}
    if isinstance(answer_to(asked, etag=common["etag"], size=len(data)), Unchanged):
        return Answer(304, common)
    return Answer(200, common, data)


def open_nar(nar: NarFile, *, files: CacheFiles, headers: dict[str, str]) -> Download | Answer:
    """Open a nar's file for the range that `headers` ask for. Raises NotFound.

    An open file stays whole for its reader even when it is collected meanwhile.
    """
    try:
        descriptor = os.open(files.nar_path(nar), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"this cache has no {nar.url}") from None
    size = os.fstat(descriptor).st_size
    common = nar_headers(nar.name)
    match answer_to(headers, etag=common["etag"], size=size):
        case Whole():
            return Download(200, common, descriptor, 0, size)
        case Part(start, length):
            common["content-range"] = f"bytes {start}-{start + length - 1}/{size}"
            return Download(206, common, descriptor, start, length)
        case Unchanged():
            os.close(descriptor)
            return Answer(304, common)
        case Unsatisfiable():
            os.close(descriptor)
            return Answer(416, {"content-range": f"bytes */{size}", "accept-ranges": "bytes"})


SendFile = Callable[[int, int, int], Awaitable[None]]
"""Send `length` bytes from `start` of a descriptor: the kernel copies them, and it raises when the client goes away."""
SEND_FILE = "procurator.sendfile"
"""The extension in the request's scope whose `send` is a `SendFile`, where the server has it (`connection.py`)."""


async def send_download(
    download: Download, *, head: bool, receive: Receive, send: Send, send_file: SendFile | None = None
) -> None:
    """Send a file's bytes, and end early when the client goes away; closes the descriptor."""
    try:
        headers = {**download.headers, "content-length": str(download.length)}
        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": download.status, "headers": raw})
        if head or download.length <= SMALL:
            body = b"" if head else os.pread(download.descriptor, download.length, download.start)
            await send({"type": "http.response.body", "body": body})
            return
        if send_file is not None:
            await send_file(download.descriptor, download.start, download.length)
            await send({"type": "http.response.body", "body": b""})
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
            await _stream(download, send)
            tasks.cancel_scope.cancel()
    finally:
        os.close(download.descriptor)


async def _stream(download: Download, send: Send) -> None:
    position, end = download.start, download.start + download.length
    while position < end:
        body = await anyio.to_thread.run_sync(os.pread, download.descriptor, min(CHUNK, end - position), position)
        if not body:
            raise OSError(f"a nar's file ends at {position} while it was sent up to {end}")
        position += len(body)
        await send({"type": "http.response.body", "body": body, "more_body": position < end})


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
