"""Takes uploads: a nar whose bytes are its name, a narinfo that is signed and true; it answers no reads."""

import logging
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
from starlette.types import Message, Receive

from ci_service.cache.admission import (
    Surroundings,
    check_claims,
    check_nar,
    check_surroundings,
    references_to_check,
)
from ci_service.cache.answers import Answer, plain
from ci_service.cache.base32 import encode
from ci_service.cache.files import CacheFiles, IncomingFile
from ci_service.cache.fingerprint import with_signatures_of
from ci_service.cache.narinfo import MAX_NARINFO_BYTES, NarFile, NarInfo, parse_narinfo, print_narinfo
from ci_service.cache.resources import NarInfoFile, Resource
from ci_service.cache.unpack import nar_facts
from schema.errors import DeadlineExceeded, HashMismatch, InvalidInput, ProcuratorError, TooLarge, Unimplemented
from schema.signing import PublicKey

BATCH = 1 << 20
"""Bytes that are collected before a thread hashes and writes them."""

log = logging.getLogger(__name__)


class ClientGone(Exception):
    """The connection ended in mid-upload: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bytes, seconds and bytes a second (see `settings.py`)."""

    max_upload_bytes: int
    max_nar_bytes: int
    stall_seconds: float
    bytes_per_second: int
    at_once: int


@dataclass(slots=True)
class Uploads:
    """The write side of one cache directory."""

    files: CacheFiles
    keys: Sequence[PublicKey]
    limits: UploadLimits
    _slots: anyio.CapacityLimiter = field(init=False)
    _narinfos: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._slots = anyio.CapacityLimiter(self.limits.at_once)

    async def put(self, resource: Resource, *, headers: Mapping[str, str], receive: Receive) -> Answer:
        """Take one upload. Raises the typed refusal, after which nothing of it is kept, and ClientGone."""
        match resource:
            case NarFile():
                limit = self.limits.max_upload_bytes
            case NarInfoFile():
                limit = MAX_NARINFO_BYTES
            case _:
                raise Unimplemented("only /nar/<file> and /<hash>.narinfo can be uploaded")
        length = declared_length(headers, limit=limit)
        async with self._slots:
            match resource:
                case NarFile():
                    return await self._put_nar(resource, length=length, receive=receive)
                case NarInfoFile(hash_part):
                    return await self._put_narinfo(hash_part, length=length, receive=receive)

    async def _put_nar(self, nar: NarFile, *, length: int, receive: Receive) -> Answer:
        incoming = await anyio.to_thread.run_sync(self.files.incoming, nar.url)
        try:
            async with aclosing(self._body(receive, length=length)) as batches:
                async for batch in batches:
                    await anyio.to_thread.run_sync(incoming.write, batch)
            await anyio.to_thread.run_sync(self._keep_nar, nar, incoming)
        finally:
            incoming.drop()
        log.info("stored %s (%d bytes)", nar.url, length)
        return plain(201, f"stored {nar.url}")

    def _keep_nar(self, nar: NarFile, incoming: IncomingFile) -> None:
        if incoming.sha256 != nar.sha256:
            raise HashMismatch(
                f"{nar.url}: the bytes that arrived have the sha256 {encode(incoming.sha256)}, which must be the name: "
                "they were changed on the way, send them again"
            )
        incoming.keep(self.files.nar_path(nar))

    async def _put_narinfo(self, hash_part: str, *, length: int, receive: Receive) -> Answer:
        async with aclosing(self._body(receive, length=length)) as batches:
            data = b"".join([batch async for batch in batches])
        info = await anyio.to_thread.run_sync(self._admit, hash_part, data)
        log.info("%s is visible", info.store_path)
        return plain(201, f"{info.store_path} is visible")

    def _admit(self, hash_part: str, data: bytes) -> NarInfo:
        """Every check, in the order of their cost, and the one write. Runs in a thread."""
        try:
            info = parse_narinfo(data)
        except ProcuratorError as error:
            raise type(error)(f"{hash_part}.narinfo: {error.message}") from error
        check_claims(info, hash_part=hash_part, keys=self.keys, max_nar_bytes=self.limits.max_nar_bytes)
        check_surroundings(info, self._surroundings(info))
        path = self.files.nar_path(info.nar_file)
        try:
            facts = nar_facts(path, compression=info.nar_file.compression, limit=info.nar_size)
        except (HashMismatch, InvalidInput) as error:
            raise type(error)(f"{info.store_path}: {error.message}") from error
        check_nar(info, nar_hash=facts.sha256, nar_size=facts.size)
        with self._narinfos:  # two uploads of one path: the second sees what the first made visible
            found = self._surroundings(info)
            check_surroundings(info, found)
            merged = with_signatures_of(info, found.earlier, self.keys) if found.earlier else info
            self.files.put_narinfo(hash_part, print_narinfo(merged))
        return info

    def _surroundings(self, info: NarInfo) -> Surroundings:
        missing = {part for part in references_to_check(info) if not self.files.has_narinfo(part)}
        earlier = self.files.narinfo(info.hash_part)
        return Surroundings(
            file_size=self.files.nar_size(info.nar_file),
            missing_references=tuple(name for name in info.references if name[:32] in missing),
            earlier=parse_narinfo(earlier) if earlier is not None else None,
        )

    async def _body(self, receive: Receive, *, length: int) -> AsyncGenerator[bytes, None]:
        """The request's bytes in batches; exactly `length` of them arrive. Raises DeadlineExceeded and ClientGone."""
        deadline = anyio.current_time() + self.limits.stall_seconds + length / self.limits.bytes_per_second
        batch, taken, more = bytearray(), 0, True
        while more:
            message = await self._next(receive, deadline=deadline, taken=taken, length=length)
            body, more = message.get("body", b""), message.get("more_body", False)
            taken += len(body)
            batch += body
            if taken > length or (not more and taken < length):
                raise InvalidInput(f"Content-Length is {length}, and {taken} bytes arrived")
            if len(batch) >= BATCH or not more:
                yield bytes(batch)
                batch.clear()

    async def _next(self, receive: Receive, *, deadline: float, taken: int, length: int) -> Message:
        with anyio.move_on_at(min(deadline, anyio.current_time() + self.limits.stall_seconds)):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            return message
        raise DeadlineExceeded(f"the upload stalled: {taken} of {length} bytes arrived in time; send it again")


def declared_length(headers: Mapping[str, str], *, limit: int) -> int:
    """The upload's Content-Length in bytes. Raises InvalidInput where there is none and TooLarge above `limit`."""
    text = headers.get("content-length", "")
    if "transfer-encoding" in headers or not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("an upload needs a Content-Length, and no Transfer-Encoding")
    if int(text) > limit:
        raise TooLarge(f"the upload has {int(text)} bytes, and this cache takes at most {limit} (max_upload_bytes)")
    return int(text)
