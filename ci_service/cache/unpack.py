"""Unpacks a nar's file to learn its hash and size, never more than it may be; it keeps nothing and checks no name."""

import hashlib
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from ci_service.cache.narinfo import Compression
from schema.errors import HashMismatch, InvalidInput

CHUNK = 1 << 20
MAX_WINDOW = 1 << 27
"""128 MiB: what the zstd program takes without being asked for more."""
ZSTD_STEP = 1 << 10
"""1 KiB at a time: a frame's block unpacks to 128 KiB from four bytes, so this is at most 32 MiB in memory."""
XZ_MEMORY = 1 << 28
"""256 MiB: more than any preset of xz needs to unpack."""


@dataclass(frozen=True, slots=True)
class NarFacts:
    """SHA-256 (32 bytes) and size in bytes of an unpacked nar."""

    sha256: bytes
    size: int


def nar_facts(path: Path, *, compression: Compression, limit: int) -> NarFacts:
    """Unpack the file at `path`, up to `limit` bytes.

    Memory is bounded by the chunk and the compressor's window whatever the file says of itself. Blocks: run it in a
    thread. Raises HashMismatch as soon as there is more than `limit`, InvalidInput for what does not unpack, OSError.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as packed:
        for chunk in _unpacked(packed, compression=compression):
            size += len(chunk)
            if size > limit:
                raise HashMismatch(f"the nar unpacks to more than its NarSize of {limit} bytes")
            digest.update(chunk)
    return NarFacts(digest.digest(), size)


def _unpacked(packed: BinaryIO, *, compression: Compression) -> Iterator[bytes]:
    match compression:
        case Compression.NONE:
            return iter(lambda: packed.read(CHUNK), b"")
        case Compression.ZSTD:
            return _zstd(packed)
        case Compression.XZ:
            return _xz(packed)


def _zstd(packed: BinaryIO) -> Iterator[bytes]:
    frame = _new_frame()
    complete = False
    try:
        while data := packed.read(ZSTD_STEP):
            while data:
                frame = _new_frame() if complete else frame
                yield frame.decompress(data)
                complete, data = frame.eof, frame.unused_data
    except zstandard.ZstdError as error:
        raise InvalidInput(f"the nar's zstd file does not unpack: {error}") from error
    if not complete:
        raise InvalidInput("the nar's zstd file is cut off")


def _new_frame() -> "zstandard.ZstdDecompressionObj":  # in its stubs only
    return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()


def _xz(packed: BinaryIO) -> Iterator[bytes]:
    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
    try:
        while not unpacker.eof:
            data = packed.read(CHUNK) if unpacker.needs_input else b""
            if unpacker.needs_input and not data:
                raise InvalidInput("the nar's xz file is cut off")
            yield unpacker.decompress(data, CHUNK)
    except lzma.LZMAError as error:
        raise InvalidInput(f"the nar's xz file does not unpack: {error}") from error
    if unpacker.unused_data or packed.read(1):
        raise InvalidInput("the nar's xz file goes on behind its stream")
