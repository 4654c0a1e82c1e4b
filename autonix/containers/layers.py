"""Compose files put together as Compose does it: overrides, `include`, `extends` and profiles; no file is run.

A value of a later layer wins; ports, mounts and order are joined, the environment by its names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename
from typing import Any, TypeVar

from autonix.containers.choice import BASES, TESTING, VARIANTS, application_files
from autonix.containers.compose import Composed, Source, composed, env_files, example_beside, is_closed
from autonix.containers.words import variable
from autonix.findings import Finding
from autonix.formats.document import Document
from autonix.formats.dotenv import dotenv_lines
from autonix.reader import Reader, beside, folder

PATTERNS = (*BASES, "docker-compose.*.yml", "docker-compose.*.yaml", "compose.*.yml", "compose.*.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
EVERYTHING = ("default", "all", "full", "app")
"""Names of profiles that stand for the whole of an application, where none of its services runs without one."""

_DEEPEST = 5
_MOST_FILES = 40
T = TypeVar("T")


def compose_services(reader: Reader) -> Iterator[Composed]:
    """All services of all base files with their layers, in the order of paths and of the files."""
    for path in application_files(reader.named(*PATTERNS)):
        known = _example(reader, folder(path))
        found = _Project(reader, path, known).services()
        found = [each for each in found if not _is_aside(each)]
        active = _active([each for each in found if each.profiles], found, known)
        yield from (each for each in found if not each.profiles or not active.isdisjoint(each.profiles))


def _is_aside(each: Composed) -> bool:
    """A container that tests the others, by its name or its Dockerfile's, or that only holds a volume."""
    words = {each.container.name, *basename(each.dockerfile or "").lower().split(".")}
    command = each.container.command
    return not TESTING.isdisjoint(words) or (command is not None and command.value[-1].rpartition("/")[2] == "true")


def further_files(reader: Reader) -> Iterator[str]:
    """Paths that the Compose files which were read name: those they include or extend, and env files."""
    for path in (*reader.named(*PATTERNS), *_included_anywhere(reader)):
        document = reader.yaml(path)
        for name in document.table("services") if document is not None else ():
            if document is not None:
                yield from (each for each in env_files(document, ("services", name)) if not is_closed(each))
                if (other := _extended(document, name)[0]) is not None:
                    yield other
        if document is not None:
            yield from (each for group in _included(document) for each in group)


def _included_anywhere(reader: Reader) -> Iterator[str]:
    """Files that were read because another Compose file names them."""
    names = set(reader.named(*PATTERNS))
    waiting = sorted(names)
    for path in waiting:
        document = reader.yaml(path)
        if document is None or len(names) > _MOST_FILES * 10:
            continue
        others = [each for group in _included(document) for each in group]
        others += [other for name in document.table("services") if (other := _extended(document, name)[0]) is not None]
        for other in others:
            if other not in names and reader.text(other) is not None:
                names.add(other)
                waiting.append(other)
                yield other


def _active(profiled: Sequence[Composed], whole: Sequence[Composed], known: Mapping[str, str]) -> frozenset[str]:
    """Profiles that are on: those of the example's COMPOSE_PROFILES, else one where nothing would run without."""
    if said := known.get("COMPOSE_PROFILES"):
        return frozenset(word.strip() for word in said.split(","))
    if not profiled or len(profiled) < len(whole):
        return frozenset()
    names = {name for each in profiled for name in each.profiles or ()}
    return frozenset(next(([name] for name in (*EVERYTHING, *VARIANTS) if name in names), []))


def _example(reader: Reader, directory: str) -> dict[str, str]:
    """What `${NAME}` stands for where an example of the project's .env gives a value that is no secret."""
    path = example_beside(reader, beside(directory, ".env"))
    values = dotenv_lines(reader.text(path) or "") if path else ()
    return {name: value for _, name, value in values if variable(name, value).default}


@dataclass(slots=True)
class _Project:
    """One base file with all that belongs to it."""

    reader: Reader
    base: str
    known: Mapping[str, str]
    files: set[str] = field(default_factory=set)

    def services(self) -> list[Composed]:
        found = self._of_files([self.base, *self._override()])
        return [replace(each, project=self.base) for each in found.values()]

    def _override(self) -> list[str]:
        if basename(self.base) not in BASES:
            return []
        paths = (beside(folder(self.base), name) for name in OVERRIDES)
        return [path for path in paths if self.reader.has(path)][:1]

    def _of_files(self, paths: Sequence[str]) -> dict[str, Composed]:
        """Files that are layers of each other; what one includes comes beneath them all."""
        layers: dict[str, Composed] = {}
        included: dict[str, Composed] = {}
        for path in paths:
            document = self.reader.yaml(path)
            if document is None or len(self.files) >= _MOST_FILES or path in self.files:
                continue
            self.files.add(path)
            for group in _included(document):
                included = self._of_files(group) | included
            source = Source(self.reader, document, self.known)
            for name, service in document.table("services").items():
                if isinstance(service, dict):
                    own = self._extended(source, name, 0)
                    layers[name] = merged(layers[name], own) if name in layers else own
        return layers | {name: each for name, each in included.items() if name not in layers}

    def _extended(self, source: Source, name: str, depth: int) -> Composed:
        """The service over the one that it extends, in its own file or another."""
        own = composed(source, name)
        path, other = _extended(source.document, name)
        if not other or depth >= _DEEPEST:
            return own
        document = source.document if path is None else self.reader.yaml(path)
        if document is None or not document.table("services", other):
            return own
        beneath = self._extended(Source(self.reader, document, self.known), other, depth + 1)
        return merged(beneath, own)


def _extended(document: Document, name: str) -> tuple[str | None, str]:
    """The file (None: the same one) and the service that a service extends; no service where it extends none."""
    value = document.get("services", name, "extends")
    if isinstance(value, str):
        return None, value
    file, service = (
        document.text("services", name, "extends", "file"),
        document.text("services", name, "extends", "service"),
    )
    return (beside(folder(document.path), file) if file else None), service


def _included(document: Document) -> list[list[str]]:
    """Each entry of `include`: one file, or several that are layers of each other."""
    found: list[list[str]] = []
    for item in document.array("include"):
        said: Any = item.get("path") if isinstance(item, dict) else item
        paths = [beside(folder(document.path), each) for each in (said if isinstance(said, list) else [said]) if each]
        found.append([path for path in paths if isinstance(path, str)])
    return found


def merged(beneath: Composed, over: Composed) -> Composed:
    """One service of two layers."""
    low, high = beneath.container, over.container
    is_built = high.build is not None
    container = replace(
        high,
        file=low.file if low.name == high.name else high.file,
        build=high.build if is_built else low.build,
        image=high.image or low.image,
        command=high.command or low.command,
        ports=_joined(low.ports, high.ports, lambda port: (port.number, port.protocol)),
        env=_joined(low.env, high.env, lambda variable: variable.name),
        mounts=_joined(low.mounts, high.mounts, lambda mount: mount.path),
        health=high.health or low.health,
        depends_on=_joined(low.depends_on, high.depends_on, lambda name: name),
    )
    return Composed(
        container,
        over.dockerfile if is_built else beneath.dockerfile,
        over.target if is_built else beneath.target,
        over.project,
        beneath.profiles if over.profiles is None else over.profiles,
    )


def _joined(low: Sequence[Finding[T]], high: Sequence[Finding[T]], key: Any) -> tuple[Finding[T], ...]:
    """Each once, in the place of the first layer that has it and with the value of the last."""
    found = {key(finding.value): finding for finding in low}
    found.update((key(finding.value), finding) for finding in high)
    return tuple(found.values())
