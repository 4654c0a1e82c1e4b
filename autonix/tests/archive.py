"""Small repositories kept as one text each: what is to be found in them, then their files.

A line `-- path --` begins a file, as in Go's txtar; what is before the first is the labels, one fact a line. Written
this way no linter, type checker or test runner takes them for code of ours.
"""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORIES = Path(__file__).parent / "repositories"
HELD_OUT = Path(__file__).parent / "held_out"
_FILE = re.compile(r"^-- (\S.*) --$")


@dataclass(frozen=True, slots=True)
class Repository:
    name: str
    labels: frozenset[str]
    files: dict[str, str]

    def write(self, directory: Path) -> Path:
        for path, text in self.files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return directory


def load(path: Path) -> Repository:
    labels: list[str] = []
    files: dict[str, list[str]] = {}
    current = labels
    for line in path.read_text().split("\n"):
        if match := _FILE.match(line):
            current = files.setdefault(match[1], [])
        else:
            current.append(line)
    return Repository(
        path.stem,
        frozenset(line for line in labels if line.strip() and not line.startswith("#")),
        {name: "\n".join(lines).rstrip("\n") + "\n" for name, lines in files.items()},
    )


def repositories() -> list[Repository]:
    return [load(path) for path in sorted(REPOSITORIES.glob("*.txt"))]


def held_out() -> list[Repository]:
    return [load(path) for path in sorted(HELD_OUT.glob("*.txt"))]


def repository(name: str) -> Repository:
    return load(REPOSITORIES / f"{name}.txt")
