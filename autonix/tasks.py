"""Commands that belong to the tree rather than to one project: make, just, Task, mise, Procfile; none is ever run."""

import re
from collections.abc import Iterator
from itertools import islice
from posixpath import basename
from typing import Any

from autonix.findings import Command, Confidence, Finding, Purpose
from autonix.mapping.purposes import purpose_of
from autonix.reader import Reader
from autonix.toolchains import MISE

MAKEFILES = ("GNUmakefile", "Makefile", "makefile")
JUSTFILES = ("justfile", "Justfile", ".justfile")
TASKFILES = (
    "Taskfile.yml",
    "Taskfile.yaml",
    "taskfile.yml",
    "taskfile.yaml",
    "Taskfile.dist.yml",
    "Taskfile.dist.yaml",
)

MOST = 1_000
"""Tasks of one file; more are no person's."""
_TARGET = re.compile(r"(?P<names>[A-Za-z0-9][A-Za-z0-9_./ -]*?)\s*::?(?![:=])(?P<rest>[^=]*)")
_RECIPE = re.compile(r"@?(?P<name>[A-Za-z_][A-Za-z0-9_-]*)(?:\s+(?:[^:=]|=(?!=))*?)?\s*:(?!=)")
_PROCESS = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<text>.+)")


def tasks(reader: Reader) -> tuple[Finding[Command], ...]:
    """Every task of the tree's task files, in the order of paths and lines."""
    found = [
        *(task for path in reader.named(*MAKEFILES) for task in islice(_make(reader, path), MOST)),
        *(task for path in reader.named(*JUSTFILES) for task in islice(_just(reader, path), MOST)),
        *(task for path in reader.named(*TASKFILES) for task in islice(_task(reader, path), MOST)),
        *(task for path in reader.named("Procfile") for task in islice(_procfile(reader, path), MOST)),
        *(
            task
            for name in MISE
            for path in reader.named(basename(name))
            for task in islice(_mise(reader, path, name), MOST)
        ),
    ]
    return tuple(sorted(found, key=lambda task: (task.file, task.line)))


def _make(reader: Reader, path: str) -> Iterator[Finding[Command]]:
    """Targets that are commands: declared phony, or without a dot or slash in the name."""
    lines = list(reader.numbered(path))
    phony = {
        name
        for _, line in lines
        if line.startswith(".PHONY")
        for name in line.partition(":")[2].replace("\\", " ").split()
    }
    for index, (number, line) in enumerate(lines):
        match = _TARGET.fullmatch(line.partition("#")[0].rstrip()) if len(line) < 2000 else None
        if match is None or line.startswith((" ", "\t")):
            continue
        text = _body(lines, index + 1, strip="@-+")
        for name in match["names"].split():
            if name in phony or not any(character in name for character in "./"):
                yield _found(path, number, Command(name, text, "make", purpose_of(name, text)), declared=name in phony)


def _just(reader: Reader, path: str) -> Iterator[Finding[Command]]:
    lines = list(reader.numbered(path))
    for index, (number, line) in enumerate(lines):
        if line.startswith(("set ", "alias ", "export ", "import ", "mod ", "#", "[")):
            continue
        match = _RECIPE.match(line) if len(line) < 2000 else None
        is_private = any(re.fullmatch(r"\[.*\bprivate\b.*\]", above) for above in _attributes(lines, index))
        if match is not None and not match["name"].startswith("_") and not is_private:
            text = _body(lines, index + 1, strip="@-")
            yield _found(path, number, Command(match["name"], text, "just", purpose_of(match["name"], text)))


def _attributes(lines: list[tuple[int, str]], index: int) -> Iterator[str]:
    """Just's attributes, which stand directly above a recipe."""
    while index > 0 and lines[index - 1][1].startswith("["):
        index -= 1
        yield lines[index][1].strip()


def _body(lines: list[tuple[int, str]], start: int, *, strip: str) -> str:
    """The indented lines that follow, without the runner's own signs."""
    kept: list[str] = []
    for _, line in lines[start : start + 200]:
        if line.strip() and not line.startswith((" ", "\t")):
            break
        if line.strip() and not line.strip().startswith("#"):
            kept.append(line.strip().lstrip(strip).strip())
    return "\n".join(kept)


def _task(reader: Reader, path: str) -> Iterator[Finding[Command]]:
    document = reader.yaml(path)
    if document is None:
        return
    for name, value in document.table("tasks").items():
        if isinstance(value, dict) and value.get("internal") is True:
            continue
        text = "\n".join(_commands(value))
        command = Command(name, text, "task", purpose_of(name, text))
        yield document.finding(command, "tasks", name, rule="tasks.task")


def _commands(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _commands(item)
    elif isinstance(value, dict):
        yield from _commands(value.get("cmds") or value.get("cmd"))


def _mise(reader: Reader, path: str, name: str) -> Iterator[Finding[Command]]:
    document = reader.toml(path) if path == name or path.endswith(f"/{name}") else None
    for task, value in document.table("tasks").items() if document is not None else ():
        text = "\n".join(_commands(value.get("run") if isinstance(value, dict) else value))
        if document is not None and text:
            command = Command(task, text, "mise", purpose_of(task, text))
            yield document.finding(command, "tasks", task, rule="tasks.mise")


def _procfile(reader: Reader, path: str) -> Iterator[Finding[Command]]:
    for number, line in reader.numbered(path):
        if match := _PROCESS.fullmatch(line.strip()):
            purpose = Purpose.OTHER if match["name"] == "release" else Purpose.START
            yield _found(path, number, Command(match["name"], match["text"].strip(), "procfile", purpose))


def _found(path: str, line: int, command: Command, *, declared: bool = True) -> Finding[Command]:
    confidence = Confidence.CERTAIN if declared else Confidence.LIKELY
    return Finding(command, path, line, f"tasks.{command.runner}", confidence)
