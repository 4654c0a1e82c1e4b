"""Variables that a repository documents (`.env.example` and its like); a real `.env`, full of secrets, stays closed."""

from collections.abc import Iterator

from autonix.containers.words import variable
from autonix.findings import Finding, Variable
from autonix.formats.dotenv import dotenv_lines
from autonix.reader import Reader

NAMES = (
    *(".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults", ".env.tmpl"),
    *("env.example", "example.env", "sample.env", ".env.local.example", ".env.development.example"),
)


def environment(reader: Reader) -> tuple[Finding[Variable], ...]:
    """Every documented variable, in the order of files and lines, the first time that its file names it."""
    return tuple(
        Finding(variable(name, value), path, line, "env.example") for path, line, name, value in raw_variables(reader)
    )


def raw_variables(reader: Reader) -> Iterator[tuple[str, int, str, str]]:
    """Path, line, name and value as written."""
    for path in reader.named(*NAMES):
        seen: set[str] = set()
        for line, name, value in dotenv_lines(reader.text(path) or ""):
            if name not in seen:
                seen.add(name)
                yield path, line, name, value
