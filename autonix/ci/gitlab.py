"""GitLab's pipelines with the files of the tree that they include; templates and components elsewhere are not read."""

from collections.abc import Iterator
from typing import Any

from autonix.ci.words import Seen, beside, image_tool, step
from autonix.formats.document import Document, Key
from autonix.reader import Reader

GITLAB = ".gitlab-ci.yml"
_KEYWORDS = frozenset(
    ("stages", "variables", "default", "include", "workflow", "image", "services", "cache", "before_script", "spec")
)
_MOST_FILES = 50


def read(reader: Reader) -> Iterator[Seen]:
    """All that the pipeline says, its own file first."""
    waiting, known = [GITLAB], {GITLAB}
    for path in waiting:
        for document in reader.yamls(path):
            yield from _pipeline(document)
            for name in _included(document):
                if name not in known and len(known) < _MOST_FILES:
                    known.add(name)
                    waiting.append(name)


def _included(document: Document) -> Iterator[str]:
    value: Any = document.get("include")
    for item in value if isinstance(value, list) else [value]:
        local = item.get("local") if isinstance(item, dict) else item
        for name in local if isinstance(local, list) else [local]:
            if isinstance(name, str) and "://" not in name:
                yield name.lstrip("/")


def included(reader: Reader) -> tuple[str, ...]:
    """Paths that the pipeline's files include, as far as those are read."""
    return tuple(name for path in (GITLAB,) for document in reader.yamls(path) for name in _included(document))


def _pipeline(document: Document) -> Iterator[Seen]:
    for owner in ((), ("default",)):
        yield from _surroundings(document, owner)
    for job in document.table():
        if job in _KEYWORDS:
            continue
        yield from _surroundings(document, (job,))
        if not job.startswith("."):
            yield from step(document, "gitlab", job, job, "script")


def _surroundings(document: Document, owner: tuple[Key, ...]) -> Iterator[Seen]:
    for keys in ((*owner, "image"), (*owner, "image", "name")):
        yield from image_tool(document, "gitlab", *keys)
    for index in range(len(document.array(*owner, "services"))):
        keys = (*owner, "services", index)
        yield from beside(document, *keys, "name") if document.text(*keys, "name") else beside(document, *keys)
