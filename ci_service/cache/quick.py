"""Whole answers for the reads that nix makes by the thousand, made without a task or an ASGI message; no refusals.

A pull asks HEAD and GET for each narinfo and GET for each nar; on small paths the time of a request is what a user
waits for. Whatever is not a plain read of a small file that is there is left to the app (`http.py`).
"""

import re
from dataclasses import dataclass

from ci_service.cache.answers import Answer
from ci_service.cache.base32 import ALPHABET
from ci_service.cache.files import CacheFiles
from ci_service.cache.narinfo import MAX_NARINFO_BYTES
from ci_service.cache.reading import NARINFO_TYPE, SMALL, nar_headers, text_headers

_TARGET = re.compile(
    rf"/(?:(?P<narinfo>[{ALPHABET}]{{32}}\.narinfo)|nar/(?P<nar>[01][{ALPHABET}]{{51}}\.nar(?:\.xz|\.zst)?))".encode()
)
_READS = frozenset({b"GET", b"HEAD"})
_CONDITIONS = frozenset(
    {b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"}
    | {b"transfer-encoding", b"content-length", b"expect", b"upgrade"}
)


@dataclass(frozen=True, slots=True)
class QuickReads:
    """The reader of small files of one cache."""

    files: CacheFiles

    def answer(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> Answer | None:
        """The answer to a plain GET or HEAD, or None where the app shall answer. `headers` have lower-case names."""
        found = _TARGET.fullmatch(target)
        if not found or method not in _READS or any(name in _CONDITIONS for name, _ in headers):
            return None
        if found["narinfo"]:
            data = self.files.small_file(found["narinfo"].decode(), limit=MAX_NARINFO_BYTES)
            known = text_headers(data, content_type=NARINFO_TYPE) if data is not None else {}
        else:
            name = found["nar"].decode()
            data = self.files.small_file(f"nar/{name}", limit=SMALL)
            known = nar_headers(name)
        if data is None:
            return None
        known["content-length"] = str(len(data))
        return Answer(200, known, b"" if method == b"HEAD" else data)


def quick_bytes(answer: Answer, *, server_headers: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
    """A 200 answer as it goes over the wire (HTTP/1.1), in one piece."""
    lines = [b"HTTP/1.1 200 OK"]
    lines += [b"%b: %b" % pair for pair in server_headers]
    lines += [f"{key}: {value}".encode() for key, value in answer.headers.items()]
    if not keep_alive:
        lines.append(b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + answer.body
