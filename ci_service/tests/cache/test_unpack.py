import hashlib
import lzma
import resource
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_service.cache.narinfo import Compression
from ci_service.cache.unpack import nar_facts
from ci_service.tests.cache.running import pack
from schema.errors import HashMismatch, InvalidInput

NAR = bytes(range(256)) * 8000


@pytest.mark.parametrize("compression", Compression)
def test_hash_and_size_are_of_the_unpacked_nar(tmp_path: Path, compression: Compression) -> None:
    (tmp_path / "nar").write_bytes(pack(NAR, compression))
    facts = nar_facts(tmp_path / "nar", compression=compression, limit=len(NAR))
    assert (facts.sha256, facts.size) == (hashlib.sha256(NAR).digest(), len(NAR))


@pytest.mark.parametrize("compression", Compression)
def test_it_stops_at_the_first_byte_over_the_limit(tmp_path: Path, compression: Compression) -> None:
    (tmp_path / "nar").write_bytes(pack(NAR, compression))
    with pytest.raises(HashMismatch, match="more than its NarSize"):
        nar_facts(tmp_path / "nar", compression=compression, limit=len(NAR) - 1)


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.XZ])
def test_a_truncated_file_is_refused_even_where_all_content_came(tmp_path: Path, compression: Compression) -> None:
    is_zstd = compression is Compression.ZSTD
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(NAR) if is_zstd else lzma.compress(NAR)
    for cut in (1, 3, len(packed) // 2, len(packed) - 1):
        (tmp_path / "nar").write_bytes(packed[:-cut])
        with pytest.raises(InvalidInput, match="cut off"):
            nar_facts(tmp_path / "nar", compression=compression, limit=len(NAR))


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.XZ])
def test_what_follows_the_stream_is_refused(tmp_path: Path, compression: Compression) -> None:
    (tmp_path / "nar").write_bytes(pack(NAR, compression) + b"more")
    with pytest.raises(InvalidInput):
        nar_facts(tmp_path / "nar", compression=compression, limit=len(NAR))


def test_several_zstd_frames_are_one_nar(tmp_path: Path) -> None:
    (tmp_path / "nar").write_bytes(pack(NAR[:1000], Compression.ZSTD) + pack(NAR[1000:], Compression.ZSTD))
    assert nar_facts(tmp_path / "nar", compression=Compression.ZSTD, limit=len(NAR)).size == len(NAR)


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.XZ])
def test_a_bomb_takes_little_memory(tmp_path: Path, compression: Compression) -> None:
    is_zstd = compression is Compression.ZSTD
    packer = zstandard.ZstdCompressor(level=1).compressobj() if is_zstd else lzma.LZMACompressor(preset=0)
    with (tmp_path / "nar").open("wb") as bomb:
        for _ in range(256):
            bomb.write(packer.compress(bytes(1 << 20)))
        bomb.write(packer.flush())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert nar_facts(tmp_path / "nar", compression=compression, limit=1 << 28).size == 1 << 28
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB; unpacked: 256 MiB


@settings(max_examples=50)
@given(st.binary(max_size=300), st.sampled_from([Compression.ZSTD, Compression.XZ]))
def test_garbage_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, compression: Compression) -> None:
    path = tmp_path_factory.mktemp("garbage") / "nar"
    path.write_bytes(data)
    with pytest.raises(InvalidInput):
        nar_facts(path, compression=compression, limit=1000)
