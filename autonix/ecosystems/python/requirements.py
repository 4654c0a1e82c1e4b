"""requirements*.txt and Pipfile as lists of dependencies; constraints files and hashes are passed over."""

import re
from collections.abc import Iterator
from posixpath import basename

from autonix.ecosystems.python.pyproject import constraint_of
from autonix.ecosystems.python.requirement import dependency, normal_name
from autonix.findings import Dependency, Finding, Group, Toolchain
from autonix.formats.document import Document, Key
from autonix.reader import Reader, beside, folder

_DEVELOPMENT = re.compile(r"(^|[-_.])(dev|devel|develop|development|test|tests|testing|lint|docs?|ci|local)([-_.]|$)")
_INCLUDE = re.compile(r"(?:-r|--requirement)[=\s]+(\S+)")
_COMMENT = re.compile(r"(^|\s)#.*$")
_OPTION = re.compile(r"\s--?[A-Za-z].*$")
_DEEPEST = 5


def requirement_files(reader: Reader, directory: str) -> list[str]:
    """The files of `directory` (and of its `requirements/`), the plain requirements.txt first."""
    here = [
        path
        for path in reader.named("requirements*.txt", "*requirements.txt", "*-requirements.txt")
        if folder(path) == directory
    ]
    below = [path for path in reader.named("*.txt") if folder(path) == beside(directory, "requirements")]
    return sorted(here + below, key=lambda path: (basename(path) != "requirements.txt", path))


def group_of(path: str) -> Group:
    """Development where the file's name says so (`requirements-dev.txt`, `requirements/test.txt`)."""
    return Group.DEVELOPMENT if _DEVELOPMENT.search(basename(path).removesuffix(".txt")) else Group.RUNTIME


def from_requirements(reader: Reader, path: str, group: Group, depth: int = 0) -> Iterator[Finding[Dependency]]:
    """What `path` lists, with the files that it includes, in order."""
    for number, line in reader.numbered(path):
        text = _OPTION.sub("", _COMMENT.sub("", line).strip().rstrip("\\").strip())
        included = _INCLUDE.match(_COMMENT.sub("", line).strip())
        if included and depth < _DEEPEST:
            yield from from_requirements(reader, beside(folder(path), included[1]), group, depth + 1)
        elif text and not text.startswith("-") and (parsed := dependency(text, group)) is not None:
            yield Finding(parsed, path, number, "python.requirements")


def from_pipfile(document: Document) -> Iterator[Finding[Dependency]]:
    """`[packages]` and `[dev-packages]`; a bare `*` is no constraint."""
    for table, group in (("packages", Group.RUNTIME), ("dev-packages", Group.DEVELOPMENT)):
        for name, value in document.table(table).items():
            constraint = constraint_of(value)
            found = Dependency(normal_name(name), "" if constraint == "*" else constraint, group)
            yield document.finding(found, table, name, rule=f"python.pipfile.{table}")


def pipfile_python(document: Document) -> Iterator[Finding[Toolchain]]:
    """`[requires]`: the exact Python that pipenv makes its environment with."""
    for key in ("python_full_version", "python_version"):
        keys: tuple[Key, ...] = ("requires", key)
        if version := document.text(*keys):
            yield document.finding(Toolchain("python", version), *keys, rule="python.pipfile.requires")
            return
