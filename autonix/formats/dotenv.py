"""`NAME=value` files (.env.example) as names, values and lines; it expands nothing."""

import re
from collections.abc import Iterator

_LINE = re.compile(
    r"""^\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*"""
    r"""(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>[^']*)'|(?P<plain>(?!['"#]).*?))\s*(?:(?<=\s)#.*)?$"""
)


def dotenv_lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name and value of each assignment; other lines are passed over."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) <= 4096 and (match := _LINE.match(line)):
            value = match["double"] if match["double"] is not None else match["single"]
            yield number, match["name"], (match["plain"] or "") if value is None else value
