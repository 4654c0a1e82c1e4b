r"""Java's .properties as a flat table of strings with lines; `\uXXXX` is left as it stands."""

import re

from autonix.formats.document import MAX_LINES, Document, Key

_ENTRY = re.compile(r"\s*((?:\\.|[^\s=:\\])+)(?:\s*[=:]\s*|\s+|$)(.*)", re.DOTALL)


def parse_properties(path: str, text: str) -> Document:
    """Every line says something, so that nothing is wrong; of a key that comes twice the last value counts."""
    value: dict[str, str] = {}
    lines: dict[tuple[Key, ...], int] = {}
    parts: list[str] = []
    first = 1
    for number, line in enumerate(text.split("\n"), 1):
        if not parts and line.lstrip()[:1] in ("#", "!", ""):
            continue
        first = first if parts else number
        goes_on = (len(line) - len(line.rstrip("\\"))) % 2
        part = (line.lstrip() if parts else line)[: -1 if goes_on else None]
        parts += [part] if part else []
        if goes_on:
            continue
        if (match := _ENTRY.fullmatch("".join(parts))) is not None and len(lines) < MAX_LINES:
            key = re.sub(r"\\(.)", r"\1", match[1])
            value[key], lines[(key,)] = re.sub(r"\\([:=#!\\ ])", r"\1", match[2].rstrip()), first
        parts.clear()
    return Document(path, value, lines)
