"""One service of a Compose file: what runs, with ports, environment, order, health and volumes.

How several files and services are put together is the matter of `layers.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import basename
from typing import Any

from autonix.containers.words import expanded, port, probe, variable, words_of
from autonix.environment import NAMES
from autonix.findings import Confidence, Container, Finding, Mount, Port, Probe, Variable
from autonix.formats.document import Document, Key
from autonix.formats.dotenv import dotenv_lines
from autonix.reader import Reader, beside, folder


@dataclass(frozen=True, slots=True)
class Source:
    """A Compose file, and what its `${NAME}` stand for as far as an example of its .env says."""

    reader: Reader
    document: Document
    known: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Composed:
    """One service; `dockerfile` is the path that builds it, `project` the base file of what it is run with.

    `profiles` is None where the file says nothing of them.
    """

    container: Container
    dockerfile: str | None = None
    target: str | None = None
    project: str = ""
    profiles: tuple[str, ...] | None = None


def composed(source: Source, name: str) -> Composed:
    """The service `name` as this file alone has it."""
    document = source.document
    keys: tuple[Key, ...] = ("services", name)
    context, dockerfile, target = _build(source, keys)
    image = document.text(*keys, "image")
    resolved = expanded(image, source.known)
    confidence = Confidence.CERTAIN if resolved == image else Confidence.LIKELY
    own = list(_environment(document, keys))
    names = {finding.value.name for finding in own}
    profiles = document.get(*keys, "profiles")
    container = Container(
        name=name,
        file=document.path,
        build=context,
        image=document.finding(resolved, *keys, "image", rule="compose.image", confidence=confidence)
        if image
        else None,
        command=_command(document, keys),
        ports=tuple(_ports(source, keys)),
        env=(*own, *(item for item in _env_files(source, keys) if item.value.name not in names)),
        mounts=tuple(_mounts(document, keys)),
        health=tuple(_health(document, keys)),
        depends_on=tuple(_depends_on(document, keys)),
    )
    listed = tuple(str(item) for item in profiles) if isinstance(profiles, list) else None
    return Composed(container, dockerfile, target, document.path, listed)


def env_files(document: Document, keys: tuple[Key, ...]) -> Iterator[str]:
    """Paths that `env_file` names: a word, a list, or tables with a path; they may lead out of the tree."""
    value = document.get(*keys, "env_file")
    for item in value if isinstance(value, list) else [value]:
        name = item.get("path") if isinstance(item, dict) else item
        if isinstance(name, str) and name and "$" not in name:
            yield beside(folder(document.path), name)


def is_closed(path: str) -> bool:
    """Whether an env file may hold real secrets and is never opened: `.env` and its variants, but no example."""
    return basename(path).startswith(".env") and basename(path) not in NAMES


def _env_files(source: Source, keys: tuple[Key, ...]) -> Iterator[Finding[Variable]]:
    """The variables of its env files; of a closed one those that an example beside it documents."""
    seen: set[str] = set()
    for path in reversed(list(env_files(source.document, keys))):
        opened = example_beside(source.reader, path) if is_closed(path) else path
        for line, name, value in dotenv_lines(source.reader.text(opened) or "") if opened else ():
            if name not in seen:
                seen.add(name)
                yield Finding(variable(name, value), opened or path, line, "compose.env_file")


def example_beside(reader: Reader, path: str) -> str | None:
    """The example of an env file, in its directory."""
    return next((found for name in NAMES if reader.has(found := beside(folder(path), name))), None)


def _build(source: Source, keys: tuple[Key, ...]) -> tuple[str | None, str | None, str | None]:
    """Context directory, Dockerfile and target stage; a context outside of the tree is none."""
    document = source.document
    context = document.text(*keys, "build") or document.text(*keys, "build", "context")
    if not context and document.get(*keys, "build") is None:
        return None, None, None
    directory = beside(folder(document.path), expanded(context or ".", source.known))
    if directory.startswith(("..", "/")) or "://" in context:
        return None, None, None
    named = document.text(*keys, "build", "dockerfile") or "Dockerfile"
    return directory, beside(directory, expanded(named, source.known)), document.text(*keys, "build", "target") or None


def _command(document: Document, keys: tuple[Key, ...]) -> Finding[tuple[str, ...]] | None:
    argv: tuple[str, ...] = ()
    line_of: Key = "command"
    for key in ("entrypoint", "command"):
        value = document.get(*keys, key)
        if isinstance(value, str) and value.strip():
            argv, line_of = argv + words_of(expanded(value.strip(), {}))[0], key
        elif isinstance(value, list) and value:
            argv, line_of = argv + tuple(expanded(str(item), {}) for item in value), key
    return document.finding(argv, *keys, line_of, rule=f"compose.{line_of}") if argv else None


def _ports(source: Source, keys: tuple[Key, ...]) -> Iterator[Finding[Port]]:
    seen: set[Port] = set()
    document = source.document
    for key in ("ports", "expose"):
        for index, item in enumerate(document.array(*keys, key)):
            found = _port(item, source.known)
            if found is not None and not any((found.number, found.protocol) == (p.number, p.protocol) for p in seen):
                seen.add(found)
                yield document.finding(found, *keys, key, index, rule=f"compose.{key}")


def _port(item: Any, known: Mapping[str, str]) -> Port | None:
    if isinstance(item, dict):
        published = expanded(str(item.get("published") or ""), known)
        item = f"{published}:{item.get('target')}/{item.get('protocol') or 'tcp'}"
    return port(expanded(str(item), known)) if isinstance(item, str | int) else None


def _environment(document: Document, keys: tuple[Key, ...]) -> Iterator[Finding[Variable]]:
    for name, value in raw_environment(document.get(*keys, "environment")):
        where: tuple[Key, ...] = (*keys, "environment", name)
        index = _index(document.get(*keys, "environment"), name)
        where = where if index is None else (*keys, "environment", index)
        yield document.finding(variable(name, value), *where, rule="compose.environment")


def _index(value: Any, name: str) -> int | None:
    items = value if isinstance(value, list) else []
    return next((index for index, item in enumerate(items) if str(item).partition("=")[0].strip() == name), None)


def raw_environment(value: Any) -> Iterator[tuple[str, str | None]]:
    """Names and values of either form, with defaults of `${NAME:-default}` filled in."""
    if isinstance(value, dict):
        pairs = [(str(name), None if item is None else str(item)) for name, item in value.items()]
    else:
        items = [str(item).partition("=") for item in (value if isinstance(value, list) else [])]
        pairs = [(name.strip(), item if equals else None) for name, equals, item in items]
    for name, item in pairs:
        if name.replace(".", "_").replace("-", "_").isidentifier():
            yield name, None if item is None else expanded(item, {})


def _mounts(document: Document, keys: tuple[Key, ...]) -> Iterator[Finding[Mount]]:
    named = set(document.table("volumes"))
    for index, item in enumerate(document.array(*keys, "volumes")):
        if isinstance(item, dict):
            source, target = item.get("source"), item.get("target")
        else:
            first, colon, rest = expanded(str(item), {}).partition(":")
            source, target = (first, rest.partition(":")[0]) if colon else (None, first)
        if isinstance(target, str) and target.startswith("/"):
            mount = Mount(target, str(source) if source else None, source in named)
            yield document.finding(mount, *keys, "volumes", index, rule="compose.volumes")


def _health(document: Document, keys: tuple[Key, ...]) -> Iterator[Finding[Probe]]:
    check: Mapping[str, Any] = document.table(*keys, "healthcheck")
    test = check.get("test")
    if check.get("disable") is True or not test:
        return
    words = [
        expanded(str(item), {}).replace("$$", "$") for item in (test if isinstance(test, list) else ["CMD-SHELL", test])
    ]
    kind, *argv = words
    if kind in ("CMD", "CMD-SHELL") and argv:
        found = probe(tuple(argv), shell=kind == "CMD-SHELL")
        yield document.finding(found, *keys, "healthcheck", "test", rule="compose.healthcheck")


def _depends_on(document: Document, keys: tuple[Key, ...]) -> Iterator[Finding[str]]:
    for key in ("depends_on", "links"):
        value = document.get(*keys, key)
        names = list(value) if isinstance(value, dict | list) else []
        for index, name in enumerate(names):
            where: Key = str(name) if isinstance(value, dict) else index
            yield document.finding(str(name).partition(":")[0], *keys, key, where, rule=f"compose.{key}")
