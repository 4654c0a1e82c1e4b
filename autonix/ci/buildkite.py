"""Buildkite's pipelines: commands of steps and groups, and the image of its docker plugin; uploads are not followed."""

from collections.abc import Iterator

from autonix.ci.words import Seen, image_tool, step
from autonix.formats.document import Document, Key
from autonix.reader import Reader

BUILDKITE = (".buildkite/pipeline.yml", ".buildkite/pipeline.yaml", "buildkite.yml")
_DEEPEST = 3


def read(reader: Reader) -> Iterator[Seen]:
    """All that the pipeline says; a file may be the list of steps itself."""
    for path in BUILDKITE:
        document = reader.yaml(path)
        if document is not None:
            yield from _steps(document, ("steps",) if document.table() else (), 0)


def _steps(document: Document, keys: tuple[Key, ...], depth: int) -> Iterator[Seen]:
    for index in range(len(document.array(*keys))):
        where: tuple[Key, ...] = (*keys, index)
        label = document.text(*where, "label")
        for name in ("command", "commands"):
            yield from step(document, "buildkite", label, *where, name)
        for at in range(len(document.array(*where, "plugins"))):
            for plugin in document.table(*where, "plugins", at):
                if plugin.partition("#")[0] == "docker":
                    yield from image_tool(document, "buildkite", *where, "plugins", at, plugin, "image")
        if depth < _DEEPEST:
            yield from _steps(document, (*where, "steps"), depth + 1)
