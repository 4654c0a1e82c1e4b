"""Which Compose files of a tree are the application's, not its tests' or further ways to run it; it reads none."""

import re
from collections.abc import Iterable, Sequence
from posixpath import basename

from autonix.reader import folder

BASES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
TESTING = frozenset(
    (
        *("test", "tests", "testing", "e2e", "cypress", "playwright", "ci", ".ci", ".github", "benchmarks", "bench"),
        *("integration", "integration-tests", "integration_tests", "acceptance"),
        *(".buildkite", ".circleci", ".gitlab", ".drone", ".woodpecker"),
    )
)
"""Directories whose containers serve tests: they are never the application's."""
EDITOR = ".devcontainer"
"""Its Compose file counts only where there is no other."""
VARIANTS = ("production", "prod", "development", "dev", "local", "staging")
"""Names of ways to run one application, as directories or in file names, the one to believe first."""

_MIDDLE = re.compile(r"(?:docker-)?compose\.(?P<variant>.+)\.ya?ml")


def application_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Those to read: one of each directory that lies in no other such directory, and one of sibling variants."""
    counted = [path for path in paths if TESTING.isdisjoint(path.split("/")[:-1])]
    plain = [path for path in counted if EDITOR not in path.split("/")]
    by_directory: dict[str, list[str]] = {}
    for path in sorted(plain or counted):
        by_directory.setdefault(folder(path), []).append(path)
    chosen = {directory: file for directory, paths in by_directory.items() if (file := _one(paths)) is not None}
    outermost = [directory for directory in sorted(chosen) if not any(_holds(other, directory) for other in chosen)]
    return tuple(chosen[directory] for directory in outermost if _is_first(directory, chosen))


def _one(paths: Sequence[str]) -> str | None:
    """The base file, else the variant to believe first, else the only one that is not for tests."""
    for base in BASES:
        for path in paths:
            if basename(path) == base:
                return path
    variants = {match["variant"]: path for path in paths if (match := _MIDDLE.fullmatch(basename(path)))}
    for name in VARIANTS:
        if name in variants:
            return variants[name]
    rest = [path for name, path in variants.items() if TESTING.isdisjoint(re.split(r"[-._]", name))]
    return rest[0] if len(rest) == 1 else None


def _holds(outer: str, inner: str) -> bool:
    return outer != inner and (outer == "." or inner.startswith(f"{outer}/"))


def _is_first(directory: str, chosen: Iterable[str]) -> bool:
    """Whether no sibling of a directory named for a variant is to be believed before it."""
    if basename(directory) not in VARIANTS:
        return True
    siblings = [basename(other) for other in chosen if folder(other) == folder(directory)]
    return next(name for name in VARIANTS if name in siblings) == basename(directory)
