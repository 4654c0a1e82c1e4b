r"""Java's .properties as a flat table of strings with lines; `\uXXXX` is left as it stands."""

import re

from autonix.formats.document import MAX_LINES, Document, Key

_ENTRY = re.compile(r"\s*((?:\\.|[^\s=:\\])+)(?:\s*[=:]\s*|\s+|$)(.*)", re.DOTALL)


def parse_properties(path: str, text: str) -> Document:
    """Every line says something, so that nothing is wrong; of a key that comes twice the last value counts."""
    value: dict[str, str] = {}
    lines: dict[tuple[Key, ...], int] = {}
    kept, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        if not kept and line.lstrip()[:1] in ("#", "!", ""):
            continue
        first = first if kept else number
        kept += line.lstrip() if kept else line
        if (len(line) - len(line.rstrip("\\"))) % 2:
            kept = kept[:-1]
            continue
        if (match := _ENTRY.fullmatch(kept)) is not None and len(lines) < MAX_LINES:
            key = re.sub(r"\\(.)", r"\1", match[1])
            value[key], lines[(key,)] = re.sub(r"\\([:=#!\\ ])", r"\1", match[2].rstrip()), first
        kept = ""
    return Document(path, value, lines)
