"""CircleCI's config: jobs, executors and commands with their run steps; what orbs bring is not known."""

from collections.abc import Iterator
from typing import Any

from autonix.ci.words import Seen, beside, image_tool, step
from autonix.formats.document import Document, Key
from autonix.reader import Reader

CIRCLECI = (".circleci/config.yml", ".circleci/config.yaml")
_DEEPEST = 6


def read(reader: Reader) -> Iterator[Seen]:
    """The first image of a job is where it runs, the others are beside it."""
    for path in CIRCLECI:
        document = reader.yaml(path)
        for table in ("executors", "commands", "jobs") if document is not None else ():
            for name in document.table(table) if document is not None else ():
                if document is not None:
                    yield from _part(document, table, name)


def _part(document: Document, table: str, name: str) -> Iterator[Seen]:
    for index in range(len(document.array(table, name, "docker"))):
        keys: tuple[Key, ...] = (table, name, "docker", index, "image")
        yield from image_tool(document, "circleci", *keys) if index == 0 else beside(document, *keys)
    yield from _steps(document, name, (table, name, "steps"), 0)


def _steps(document: Document, job: str, keys: tuple[Key, ...], depth: int) -> Iterator[Seen]:
    """`run: text`, `run: {command: text}`, and the same inside `when` and `unless`."""
    for index, item in enumerate(document.array(*keys)):
        where: tuple[Key, ...] = (*keys, index)
        run: Any = item.get("run") if isinstance(item, dict) else None
        if isinstance(run, dict):
            yield from step(document, "circleci", job, *where, "run", "command")
        elif run is not None:
            yield from step(document, "circleci", job, *where, "run")
        for condition in ("when", "unless"):
            if depth < _DEEPEST and document.array(*where, condition, "steps"):
                yield from _steps(document, job, (*where, condition, "steps"), depth + 1)
