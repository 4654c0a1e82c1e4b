"""Dockerfiles as containers: their stages, and what holds for the last one; nothing is built or pulled."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename

from autonix.containers.choice import EDITOR, TESTING
from autonix.containers.words import expanded, port, probe, variable, words_of
from autonix.findings import Container, Finding, Mount, Port, Probe, Stage, Variable
from autonix.formats.dockerfile import Instruction, parse_dockerfile
from autonix.reader import Reader, folder

PATTERNS = ("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile", "*.dockerfile")
SET_ASIDE = TESTING | {EDITOR}
"""Directories whose Dockerfiles count only where a Compose file builds them."""
MOST_STAGES = 200
_FROM = re.compile(r"(?:--\S+\s+)*(?P<image>\S+)(?:\s+as\s+(?P<name>\S+))?\s*", re.IGNORECASE)
_HEALTH = re.compile(r"(?:--\S+\s+)*(?P<kind>NONE|CMD)\s*(?P<text>.*)", re.IGNORECASE)
_NAMED = re.compile(r"^(?:Dockerfile|Containerfile)\.(?P<after>.+)|^(?P<before>.+)\.[Dd]ockerfile$")


@dataclass(slots=True)
class _Built:
    """What one stage has so far; a stage from an earlier one begins with what that had."""

    stage: Finding[Stage]
    values: dict[str, str] = field(default_factory=dict)
    env: dict[str, Finding[Variable]] = field(default_factory=dict)
    ports: dict[Port, Finding[Port]] = field(default_factory=dict)
    mounts: dict[str, Finding[Mount]] = field(default_factory=dict)
    health: Finding[Probe] | None = None
    entry: Finding[tuple[str, ...]] | None = None
    arguments: Finding[tuple[str, ...]] | None = None


def dockerfile_paths(reader: Reader) -> list[str]:
    """All Dockerfiles of the tree."""
    return [
        path
        for path in reader.named(*PATTERNS)
        if not path.endswith((".dockerignore", ".md", ".swp", ".j2")) and not SET_ASIDE.intersection(path.split("/"))
    ]


def from_dockerfile(reader: Reader, path: str, *, target: str | None = None) -> Container | None:
    """The container that `path` builds (its stage `target`, else the last); None where it has no stage."""
    stages = _stages(path, parse_dockerfile(reader.text(path) or ""))
    if not stages:
        return None
    last = next((stage for stage in stages if stage.stage.value.name == target), stages[-1])
    command = last.entry or last.arguments
    if last.entry is not None and last.arguments is not None:
        command = replace(last.entry, value=last.entry.value + last.arguments.value)
    return Container(
        name=_name(path),
        file=path,
        build=folder(path),
        dockerfile=path,
        stages=tuple(stage.stage for stage in stages),
        command=command,
        ports=tuple(last.ports.values()),
        env=tuple(last.env.values()),
        mounts=tuple(last.mounts.values()),
        health=(last.health,) if last.health else (),
    )


def _name(path: str) -> str:
    """`Dockerfile.worker` → `worker`, `api/Dockerfile` → `api`, empty at the root."""
    match = _NAMED.match(basename(path))
    if match:
        return match["after"] or match["before"]
    return "" if folder(path) == "." else basename(folder(path))


def _stages(path: str, instructions: Sequence[Instruction]) -> list[_Built]:
    arguments: dict[str, str] = {}
    stages: list[_Built] = []
    for instruction in instructions:
        if instruction.keyword == "FROM" and len(stages) < MOST_STAGES:
            if (stage := _begun(path, instruction, arguments, stages)) is not None:
                stages.append(stage)
        elif not stages:
            arguments.update(_argument(instruction))
        else:
            _apply(path, instruction, stages[-1], arguments)
    return stages


def _begun(path: str, line: Instruction, arguments: Mapping[str, str], earlier: Sequence[_Built]) -> _Built | None:
    match = _FROM.fullmatch(line.text)
    if match is None:
        return None
    image = expanded(match["image"], arguments)
    stage = Finding(Stage(match["name"] or str(len(earlier)), image), path, line.line, "docker.from")
    base = next((known for known in reversed(earlier) if known.stage.value.name.lower() == image.lower()), None)
    if base is None:
        return _Built(stage)
    return _Built(
        stage,
        values=dict(base.values),
        env=dict(base.env),
        ports=dict(base.ports),
        mounts=dict(base.mounts),
        health=base.health,
        entry=base.entry,
        arguments=base.arguments,
    )


def _argument(line: Instruction) -> dict[str, str]:
    name, equals, value = line.text.partition("=")
    return {name.strip(): value.strip().strip("\"'")} if line.keyword == "ARG" and equals else {}


def _apply(path: str, line: Instruction, stage: _Built, arguments: Mapping[str, str]) -> None:
    match line.keyword:
        case "ARG":
            stage.values.update(_argument(line))
            if line.text.strip() in arguments:
                stage.values[line.text.strip()] = arguments[line.text.strip()]
        case "ENV":
            for name, value in _assignments(line.text):
                stage.values[name] = expanded(value, stage.values)
                stage.env[name] = Finding(variable(name, stage.values[name]), path, line.line, "docker.env")
        case "EXPOSE":
            for word in expanded(line.text, stage.values).split():
                if (number := port(word)) is not None:
                    stage.ports.setdefault(number, Finding(number, path, line.line, "docker.expose"))
        case "VOLUME":
            argv, shell = words_of(line.text)
            for name in argv[0].split() if shell else argv:
                where = expanded(name, stage.values)
                stage.mounts[where] = Finding(Mount(where), path, line.line, "docker.volume")
        case "ENTRYPOINT":
            stage.entry, stage.arguments = Finding(words_of(line.text)[0], path, line.line, "docker.entrypoint"), None
        case "CMD":
            stage.arguments = Finding(words_of(line.text)[0], path, line.line, "docker.cmd")
        case "HEALTHCHECK":
            stage.health = _health(path, line, stage)


def _health(path: str, line: Instruction, stage: _Built) -> Finding[Probe] | None:
    match = _HEALTH.fullmatch(line.text)
    if match is None or match["kind"].upper() == "NONE":
        return None
    argv, shell = words_of(expanded(match["text"].strip(), stage.values))
    return Finding(probe(argv, shell=shell), path, line.line, "docker.healthcheck")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """`A=1 B="2 3"`, or the old form `A 1 2`."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    if words and "=" not in words[0]:
        yield words[0], " ".join(words[1:])
        return
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier() and name != "PATH":
            yield name, value
