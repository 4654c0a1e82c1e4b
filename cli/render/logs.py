"""A guest's log, cut into safe lines as it comes: what a guest writes must not reach the terminal as it is."""

import codecs
from dataclasses import dataclass, field

from cli.render.text import lines

MAX_LINE = 16 * 1024
"""Characters after which a line is ended by us: a guest that never ends one must not fill our memory."""


@dataclass(slots=True)
class LogLines:
    """Bytes in, whole lines out; escape sequences that were split between two pieces are stripped, too."""

    _pending: str = ""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        *whole, self._pending = (self._pending + self._decoder.decode(data)).split("\n")
        if len(self._pending) > MAX_LINE:
            whole.append(self._pending)
            self._pending = ""
        return [_safe(line) for line in whole]

    def end(self) -> list[str]:
        """What came after the last end of a line."""
        rest, self._pending = self._pending + self._decoder.decode(b"", final=True), ""
        return [_safe(rest)] if rest else []


def _safe(line: str) -> str:
    return lines(line.rstrip("\r").replace("\r", " "))
