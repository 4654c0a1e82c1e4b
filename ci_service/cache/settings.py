"""The settings of `procurator-cache`; they name the token's file and hold no secret."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from schema.errors import InvalidInput
from schema.settings import Section, ServiceSettings
from schema.signing import PublicKey


def _is_a_key(text: str) -> str:
    try:
        PublicKey.parse(text)
    except InvalidInput as error:
        raise ValueError(error.message) from error
    return text


def _is_host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"'{text}' is not of the form host:port")
    return text


class ListenSettings(Section):
    """`[listen]`: `host:port`. Port 0 takes any free one (see `runtime.ready_file`)."""

    http: Annotated[str, AfterValidator(_is_host_port)] = "127.0.0.1:7404"

    @property
    def host(self) -> str:
        """The address without brackets."""
        return self.http.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """0 to 65535."""
        return int(self.http.rpartition(":")[2])


class LimitSettings(Section):
    """`[limits]`: what one peer may take. Seconds."""

    header_seconds: Annotated[float, Field(gt=0)] = 10.0
    """From a connection's opening, or the first byte of a request, to the end of its headers."""
    stall_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long an upload may be silent."""
    unread_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long a client may leave what was sent to it unread."""
    upload_bytes_per_second: Annotated[int, Field(gt=0)] = 64 * 1024
    """The slowest upload that is waited for, beside `stall_seconds`."""
    uploads_at_once: Annotated[int, Field(ge=1)] = 16
    connections: Annotated[int, Field(ge=1)] = 4096
    """Those above it are closed at once."""


class Settings(ServiceSettings):
    """The root of `cache.toml`. Sizes are bytes."""

    listen: ListenSettings = ListenSettings()
    limits: LimitSettings = LimitSettings()
    directory: Path
    """Where narinfos and nars are kept; made when it is not there."""
    upload_token_file: Path | None = None
    """A file of mode 0600 with the token that uploads must show; without it nobody can upload."""
    public_keys: tuple[Annotated[str, AfterValidator(_is_a_key)], ...] = ()
    """Pinned keys (`name:base64`); only what one of them signed becomes visible."""
    max_upload_bytes: Annotated[int, Field(gt=0)] = 8 * 1024**3
    """Of one nar's file, as it is uploaded."""
    max_nar_bytes: Annotated[int, Field(gt=0)] = 32 * 1024**3
    """Of one nar, unpacked (its NarSize)."""
