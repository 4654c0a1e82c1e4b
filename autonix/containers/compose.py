"""Compose files: which containers a developer runs together, with ports, environment, order, health and volumes.

Which of several files is the application's says `choice.py`; overrides are not merged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autonix.containers.choice import BASES, application_files
from autonix.containers.words import expanded, port, probe, variable, words_of
from autonix.findings import Confidence, Container, Finding, Mount, Port, Probe, Variable
from autonix.formats.document import Document, Key
from autonix.reader import Reader, beside, folder

PATTERNS = (*BASES, "docker-compose.*.yml", "docker-compose.*.yaml", "compose.*.yml", "compose.*.yaml")


@dataclass(frozen=True, slots=True)
class Composed:
    """One service of a Compose file; `dockerfile` is the path that builds it, where it is built."""

    container: Container
    dockerfile: str | None = None
    target: str | None = None


def compose_services(reader: Reader) -> Iterator[Composed]:
    """All services of all base files, in the order of paths and of the file."""
    for path in application_files(reader.named(*PATTERNS)):
        document = reader.yaml(path)
        if document is None:
            continue
        for name, service in document.table("services").items():
            if isinstance(service, dict):
                yield _service(document, name)


def _service(document: Document, name: str) -> Composed:
    keys: tuple[Key, ...] = ("services", name)
    context, dockerfile, target = _build(document, keys)
    image = document.text(*keys, "image")
    resolved = expanded(image, {})
    confidence = Confidence.CERTAIN if resolved == image else Confidence.LIKELY
    container = Container(
        name=name,
        file=document.path,
        build=context,
        image=document.finding(resolved, *keys, "image", rule="compose.image", confidence=confidence)
        if image
        else None,
        command=_command(document, keys),
        ports=tuple(_ports(document, keys)),
        env=tuple(_environment(document, keys)),
        mounts=tuple(_mounts(document, keys)),
        health=tuple(_health(document, keys)),
        depends_on=tuple(_depends_on(document, keys)),
    )
    return Composed(container, dockerfile, target)


def _build(document: Document, keys: tuple[Key, ...]) -> tuple[str | None, str | None, str | None]:
    """Context directory, Dockerfile and target stage; a context outside of the tree is none."""
    context = document.text(*keys, "build") or document.text(*keys, "build", "context")
    if not context and document.get(*keys, "build") is None:
        return None, None, None
    directory = beside(folder(document.path), expanded(context or ".", {}))
    if directory.startswith(("..", "/")) or "://" in context:
        return None, None, None
    named = document.text(*keys, "build", "dockerfile") or "Dockerfile"
    return directory, beside(directory, expanded(named, {})), document.text(*keys, "build", "target") or None


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


def _ports(document: Document, keys: tuple[Key, ...]) -> Iterator[Finding[Port]]:
    seen: set[Port] = set()
    for key in ("ports", "expose"):
        for index, item in enumerate(document.array(*keys, key)):
            found = _port(item)
            if found is not None and not any((found.number, found.protocol) == (p.number, p.protocol) for p in seen):
                seen.add(found)
                yield document.finding(found, *keys, key, index, rule=f"compose.{key}")


def _port(item: Any) -> Port | None:
    if isinstance(item, dict):
        published = expanded(str(item.get("published") or ""), {})
        item = f"{published}:{item.get('target')}/{item.get('protocol') or 'tcp'}"
    return port(expanded(str(item), {})) if isinstance(item, str | int) else None


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
