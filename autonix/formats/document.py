"""A parsed file whose values know their lines; it parses nothing itself and never raises for what is absent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from autonix.findings import Confidence, Finding

T = TypeVar("T")
Key = str | int
MAX_LINES = 100_000
"""Positions that one document remembers; past that a value's line is that of what holds it."""


@dataclass(frozen=True, slots=True)
class Document:
    """`value` is what a JSON-like format holds; `lines` leads from a path of keys to a line, counted from 1."""

    path: str
    value: Any
    lines: Mapping[tuple[Key, ...], int] = field(default_factory=dict)

    def get(self, *keys: Key) -> Any:
        """The value at `keys`, or None."""
        value = self.value
        for key in keys:
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
                value = value[key]
            else:
                return None
        return value

    def text(self, *keys: Key) -> str:
        """The stripped string at `keys`; empty where there is none."""
        value = self.get(*keys)
        return value.strip() if isinstance(value, str) else ""

    def table(self, *keys: Key) -> dict[str, Any]:
        """The mapping at `keys`, with its string keys only; empty where there is none."""
        value = self.get(*keys)
        return {key: item for key, item in value.items() if isinstance(key, str)} if isinstance(value, dict) else {}

    def array(self, *keys: Key) -> list[Any]:
        """The list at `keys`; empty where there is none."""
        value = self.get(*keys)
        return value if isinstance(value, list) else []

    def line(self, *keys: Key) -> int:
        """The line of `keys`, else of the nearest that holds it."""
        for end in range(len(keys), 0, -1):
            if (line := self.lines.get(keys[:end])) is not None:
                return line
        return 1

    def finding(self, value: T, *keys: Key, rule: str, confidence: Confidence = Confidence.CERTAIN) -> Finding[T]:
        """`value`, said at `keys`."""
        return Finding(value, self.path, self.line(*keys), rule, confidence)

    def said(self, *keys: Key, rule: str) -> Finding[str] | None:
        """The string at `keys` as a certain finding; None where there is none."""
        text = self.text(*keys)
        return self.finding(text, *keys, rule=rule) if text else None

    def strings(self, *keys: Key, rule: str) -> Iterator[Finding[str]]:
        """Each string of the list at `keys`."""
        for index, item in enumerate(self.array(*keys)):
            if isinstance(item, str) and item.strip():
                yield self.finding(item.strip(), *keys, index, rule=rule)
