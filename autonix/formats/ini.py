"""setup.cfg and its like by configparser, as sections of strings with lines; it interpolates nothing."""

import configparser
import re

from autonix.formats.document import Document, Key
from schema.errors import InvalidInput

_SECTION = re.compile(r"^\[([^]]+)\]")
_OPTION = re.compile(r"^([^\s#;=:][^=:]*?)\s*[=:]")


def parse_ini(path: str, text: str) -> Document:
    """Raises InvalidInput, with the reason, where it is not such a file."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise InvalidInput(f"not an INI file: {' '.join(str(error).split())[:200]}") from error
    value = {section: dict(parser.items(section)) for section in parser.sections()}
    lines: dict[tuple[Key, ...], int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        if match := _SECTION.match(line):
            section = match[1]
            lines.setdefault((section,), number)
        elif match := _OPTION.match(line):
            lines.setdefault((section, match[1].rstrip().lower()), number)
    return Document(path, value, lines)
