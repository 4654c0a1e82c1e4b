"""deno.json and deno.jsonc as projects; the lock is `locks.py`'s, and addresses of single files are passed over."""

import re
from collections.abc import Iterator

from autonix.ecosystems.merge import distinct
from autonix.findings import Command, Dependency, Ecosystem, Finding, Project
from autonix.formats.document import Document
from autonix.mapping.purposes import purpose_of
from autonix.reader import folder

CONFIGS = ("deno.json", "deno.jsonc")
SPECIFIER = re.compile(r"(?P<registry>npm|jsr):/?(?P<name>(?:@[^/@]+/)?[^/@]+)(?:@(?P<wish>[^/]+))?(?:/.*)?")
_SAYS = ("name", "version", "tasks", "imports", "workspace", "exports")


def from_deno(document: Document) -> Project | None:
    """What the file says; None where it only has settings of tools."""
    if not any(document.get(key) for key in _SAYS):
        return None
    rule = "javascript.deno"
    members = (*document.strings("workspace", rule=rule), *document.strings("workspace", "members", rule=rule))
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.JAVASCRIPT,
        manifest=document.path,
        name=document.said("name", rule=f"{rule}.name"),
        version=document.said("version", rule=f"{rule}.version"),
        license=document.said("license", rule=f"{rule}.license"),
        manager=Finding("deno", document.path, 1, "javascript.manager.deno"),
        scripts=tuple(deno_tasks(document)),
        dependencies=distinct(list(_imports(document))),
        members=tuple(Finding(each.value, each.file, each.line, f"{rule}.workspace") for each in members),
    )


def deno_tasks(document: Document) -> Iterator[Finding[Command]]:
    """Its tasks, whose text is a string or a `command`."""
    for name, value in document.table("tasks").items():
        text = value if isinstance(value, str) else document.text("tasks", name, "command")
        if text:
            command = Command(name, text, "deno", purpose_of(name, text))
            yield document.finding(command, "tasks", name, rule="javascript.deno.tasks")


def _imports(document: Document) -> Iterator[Finding[Dependency]]:
    for alias, target in document.table("imports").items():
        match = SPECIFIER.fullmatch(target) if isinstance(target, str) else None
        if match is not None:
            found = Dependency(match["name"], f"{match['registry']}:{match['name']}@{match['wish'] or '*'}")
            yield document.finding(found, "imports", alias, rule="javascript.deno.imports")
