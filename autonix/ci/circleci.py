"""CircleCI's config: jobs, executors and commands with their run steps; of its own orbs the versions they are given.

What else an orb brings (its default image, its commands) lies elsewhere and is not known.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from autonix.ci.words import Seen, beside, image_tool, step, versions
from autonix.formats.document import Document, Key
from autonix.reader import Reader

CIRCLECI = (".circleci/config.yml", ".circleci/config.yaml")
_DEEPEST = 6
_ORB = re.compile(r"circleci/(\w+)@\S+")
ORBS: Mapping[str, Mapping[str, str]] = {
    "node": {"default": "tag", "test": "version", "run": "version", "install": "node-version"},
    "python": {"default": "tag", "test": "version"},
    "ruby": {"default": "tag", "install": "version"},
    "go": {"default": "tag", "install": "version"},
    "rust": {"default": "tag", "install": "version"},
    "php": {"default": "tag", "install-php": "version"},
}
"""Orbs by the tool that they are for: each of their executors, jobs and commands with its parameter of the version."""


def read(reader: Reader) -> Iterator[Seen]:
    """The first image of a job is where it runs, the others are beside it."""
    for path in CIRCLECI:
        document = reader.yaml(path)
        for table in ("executors", "commands", "jobs") if document is not None else ():
            for name in document.table(table) if document is not None else ():
                if document is not None:
                    yield from _part(document, table, name)
        if document is not None:
            yield from _orbs(document)


def _orbs(document: Document) -> Iterator[Seen]:
    """The versions that jobs, steps and executors of orbs are given."""
    tools = {
        alias: match[1] for alias in document.table("orbs") if (match := _ORB.fullmatch(document.text("orbs", alias)))
    }
    for table in ("executors", "commands", "jobs"):
        for name in document.table(table):
            yield from _executor(document, tools, (table, name, "executor"))
            yield from _used(document, tools, (table, name, "steps"), 0)
    for name in document.table("workflows"):
        yield from _used(document, tools, ("workflows", name, "jobs"), 0)


def _executor(document: Document, tools: Mapping[str, str], keys: tuple[Key, ...]) -> Iterator[Seen]:
    yield from _version(document, tools, document.text(*keys, "name"), keys)


def _used(document: Document, tools: Mapping[str, str], keys: tuple[Key, ...], depth: int) -> Iterator[Seen]:
    for index, item in enumerate(document.array(*keys)):
        for name in item if isinstance(item, dict) else ():
            where = (*keys, index, name)
            yield from _version(document, tools, str(name), where)
            if depth < _DEEPEST and name in ("when", "unless"):
                yield from _used(document, tools, (*where, "steps"), depth + 1)


def _version(document: Document, tools: Mapping[str, str], name: str, keys: tuple[Key, ...]) -> Iterator[Seen]:
    """`name` is `<orb>/<element>`, its parameters are at `keys`."""
    alias, _, element = name.partition("/")
    tool = tools.get(alias, "")
    if (parameter := ORBS.get(tool, {}).get(element)) is not None:
        yield from versions(document, "circleci", tool, *keys, parameter)


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
