from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_service.cache.narinfo import Compression, NarFile
from ci_service.cache.resources import CacheInfo, Health, NarInfoFile, resource_of
from schema.errors import NotFound

HASH = "0" * 52
PATH = "3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4"


def test_the_four_forms() -> None:
    assert resource_of("/nix-cache-info") == CacheInfo()
    assert resource_of("/healthz") == Health()
    assert resource_of(f"/{PATH}.narinfo") == NarInfoFile(PATH)
    assert resource_of(f"/nar/{HASH}.nar.zst") == NarFile(bytes(32), Compression.ZSTD)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/nar/", "/nar", f"/{PATH}.narinfo/", f"//{PATH}.narinfo", f"/{PATH}.ls", f"/log/{PATH}"),
        *(f"/{PATH}.narinfo\n", f"/nar/{HASH}.nar.zst\n", f"/nar/{HASH}.nar.bz2", "/incoming/x", "/../etc/passwd"),
        *(f"/nar/./{HASH}.nar", f"/{PATH.upper()}.narinfo", "/realisations/sha256:x!out.doi", "/nar/\x00"),
        "/nar/../token",
    ],
)
def test_nothing_else_is_there(path: str) -> None:
    with pytest.raises(NotFound):
        resource_of(path)


@given(st.text(max_size=80))
def test_any_text_is_a_resource_or_not_found(path: str) -> None:
    with suppress(NotFound):
        resource_of(path)
