import base64
from pathlib import Path

import pytest

from ci_service.cache.access import UploadToken
from ci_service.cache.app import read_token
from schema.errors import InvalidInput, PermissionDenied, Unauthenticated

SECRET = "0123456789abcdef!"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header", [f"Bearer {SECRET}", f"bearer  {SECRET} ", basic(f"ci:{SECRET}"), basic(f":{SECRET}")]
)
def test_the_token_opens(header: str) -> None:
    UploadToken.parse(SECRET.encode() + b"\n").check(header)


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "Bearer", "Bearer ", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Digest {SECRET}"),
        *(basic(SECRET), basic(f"{SECRET}:"), basic(f"ci:{SECRET}:"), "Basic !!!", "Basic"),
        *(f"Bearer {SECRET}ü", "Bearer \u2026"),
    ],
)
def test_anything_else_does_not_and_is_not_quoted(header: str | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        UploadToken.parse(SECRET.encode()).check(header)
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("data", [b"", b"short", b"0123456789abcde\nf0123456789", b"0123456789abcdef 0", b"\x00" * 32])
def test_a_token_is_one_long_line(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        UploadToken.parse(data)


def test_a_token_does_not_show_itself() -> None:
    assert SECRET not in repr(UploadToken.parse(SECRET.encode()))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_token_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(mode)
    with pytest.raises(PermissionDenied, match="chmod 0600"):
        read_token(tmp_path / "token")


def test_a_token_file_is_a_file_and_not_a_link(tmp_path: Path) -> None:
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(SECRET)
    read_token(tmp_path / "token").check(f"Bearer {SECRET}")
    (tmp_path / "link").symlink_to("token")
    for path in (tmp_path / "link", tmp_path, tmp_path / "nothing"):
        with pytest.raises(InvalidInput):
            read_token(path)
