"""Drone's and Woodpecker's pipelines: commands of steps, images of services; several documents in a file."""

from collections.abc import Iterator

from autonix.ci.words import Seen, beside, image_tool, step
from autonix.formats.document import Document, Key
from autonix.reader import Reader

DRONE = (".drone.yml", ".drone.yaml")


def read(reader: Reader) -> Iterator[Seen]:
    """All that the pipelines say, in the order of documents and steps."""
    for path in DRONE:
        for document in reader.yamls(path):
            for table in ("steps", "services"):
                for keys, name in _entries(document, table):
                    yield from _entry(document, table, keys, name)


def _entries(document: Document, table: str) -> Iterator[tuple[tuple[Key, ...], str]]:
    for index in range(len(document.array(table))):
        yield (table, index), document.text(table, index, "name")
    yield from (((table, name), name) for name in document.table(table))


def _entry(document: Document, table: str, keys: tuple[Key, ...], name: str) -> Iterator[Seen]:
    if table == "services":
        yield from beside(document, *keys, "image")
        return
    if document.get(*keys, "commands") is not None:
        yield from image_tool(document, "drone", *keys, "image")
    if document.get(*keys, "detach") is True:
        yield from beside(document, *keys, "image")
    yield from step(document, "drone", name, *keys, "commands")
