"""Follows Cap'n Proto's framing to bound messages before anything decodes them; it reads no content.

A message is a segment table (count - 1, then each segment's words, all u32 little-endian, padded to 8 bytes)
followed by the segments (capnproto.org/encoding.html, "Serialization Over a Stream").
"""

from schema.errors import InvalidInput, TooLarge

MAX_SEGMENTS = 512
"""What the C++ reader accepts; more is garbage."""


class FrameMeter:
    """Counts one direction of a stream, message by message."""

    __slots__ = ("_body", "_head", "max_bytes", "messages")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.messages = 0
        """Messages that have arrived whole."""
        self._head = bytearray()
        self._body = 0

    @property
    def inside_message(self) -> bool:
        """Whether the stream stands in the middle of a message."""
        return bool(self._body or self._head)

    @property
    def missing(self) -> int:
        """Bytes that the message under way still lacks."""
        return self._body

    def feed(self, chunk: memoryview) -> None:
        """Account for received bytes. Raises `TooLarge` or `InvalidInput` as soon as a table announces either."""
        at, end = 0, len(chunk)
        while at < end:
            if self._body:
                step = min(self._body, end - at)
                self._body -= step
                at += step
                self.messages += not self._body
                continue
            if not self._head and end - at >= 8 and not any(chunk[at : at + 4]):
                self._begin(int.from_bytes(chunk[at + 4 : at + 8], "little"))
                at += 8
                continue
            step = min(self._missing_of_table(), end - at)
            self._head += chunk[at : at + step]
            at += step
            if not self._missing_of_table():
                table, self._head = self._head, bytearray()
                self._begin(sum(self._sizes(table)))

    def _begin(self, words: int) -> None:
        if words * 8 > self.max_bytes:
            raise TooLarge(f"a message of {words * 8} bytes is over the limit of {self.max_bytes}")
        self._body = words * 8
        self.messages += not words

    def _missing_of_table(self) -> int:
        if len(self._head) < 4:
            return 4 - len(self._head)
        segments = int.from_bytes(self._head[:4], "little") + 1
        if segments > MAX_SEGMENTS:
            raise InvalidInput(f"not Cap'n Proto: a message of {segments} segments")
        return (4 + 4 * segments + 7) // 8 * 8 - len(self._head)

    @staticmethod
    def _sizes(table: bytearray) -> list[int]:
        segments = int.from_bytes(table[:4], "little") + 1
        return [int.from_bytes(table[4 + 4 * i : 8 + 4 * i], "little") for i in range(segments)]
