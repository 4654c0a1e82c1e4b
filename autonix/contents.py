"""Bytes of files as texts, or why they are none; where the bytes come from is its callers' matter."""

from dataclasses import dataclass

from autonix.findings import Skipped


@dataclass(frozen=True, slots=True)
class Contents:
    """The texts of files by path, what could not be read, and a digest of all of both."""

    texts: dict[str, str]
    skipped: tuple[Skipped, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Why bytes are no text."""

    reason: str


def decoded(data: bytes) -> str | Undecodable:
    """UTF-8 text without its mark, its lines ended by newlines alone."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Undecodable("not UTF-8 text")
    if "\0" in text:
        return Undecodable("not text: it holds a NUL")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_text(data: bytes) -> bool:
    """Whether it is UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
