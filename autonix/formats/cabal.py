"""The grammar of .cabal and cabal.project files: sections by indentation, fields, conditionals; it evaluates nothing.

Both branches of every conditional are kept, as either may hold somewhere. Braces, which few files use, are not read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_FIELD = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*)\s*:\s*(?P<value>.*)")
_LONGEST = 400_000
_CONDITION = re.compile(r"(if|elif|else)\b")


@dataclass(slots=True)
class CabalField:
    """A field in small letters: each line of its value with its number, the first one that of the name."""

    name: str
    lines: list[tuple[int, str]]

    @property
    def text(self) -> str:
        """The whole value, on one line."""
        return " ".join(text for _, text in self.lines if text).strip()


@dataclass(slots=True)
class CabalSection:
    """`library`, `executable NAME` …; the first one of a file has no kind and holds the file's own fields."""

    kind: str
    name: str
    line: int
    fields: list[CabalField] = field(default_factory=list)

    def named(self, name: str) -> Iterator[CabalField]:
        """Its fields of a name, those inside conditionals too."""
        return (each for each in self.fields if each.name == name)

    def text(self, name: str) -> str:
        """The first field's value, empty where there is none."""
        return next((each.text for each in self.named(name)), "")


def parse_cabal(text: str) -> tuple[CabalSection, ...]:
    """Every section in order; lines that are none of it are passed over."""
    sections = [CabalSection("", "", 1)]
    current: tuple[int, CabalField] | None = None
    for number, line in enumerate(text[:_LONGEST].split("\n"), 1):
        code = line.expandtabs().rstrip()
        word = code.strip()
        if not word or word.startswith("--"):
            continue
        indent = len(code) - len(word)
        if current is not None and (indent > current[0] or (indent == current[0] and word.startswith(","))):
            current[1].lines.append((number, word))
            continue
        current = None
        if match := _FIELD.fullmatch(word):
            if indent == 0 and sections[-1].kind:
                sections.append(CabalSection("", "", number))
            found = CabalField(match["name"].lower(), [(number, match["value"].strip())])
            sections[-1].fields.append(found)
            current = indent, found
        elif indent == 0 and not _CONDITION.match(word):
            kind, _, name = word.partition(" ")
            sections.append(CabalSection(kind.lower(), name.strip(), number))
    return tuple(sections)
