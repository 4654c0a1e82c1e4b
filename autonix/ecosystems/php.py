"""Composer packages of a tree with their locks; PHP source is not read."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from autonix.ecosystems.merge import distinct
from autonix.findings import (
    Command,
    Confidence,
    Dependency,
    Ecosystem,
    EntryPoint,
    Finding,
    Group,
    Lock,
    Project,
    Toolchain,
)
from autonix.formats.document import Document, Key
from autonix.mapping.purposes import purpose_of
from autonix.reader import Reader, beside, folder

_LIFECYCLE = ("pre-", "post-")


def php_projects(reader: Reader) -> tuple[Project, ...]:
    """Every composer.json that is about something that is installed."""
    documents = [document for path in reader.named("composer.json") if (document := reader.json(path)) is not None]
    return tuple(_project(reader, document) for document in documents if document.table())


def _project(reader: Reader, document: Document) -> Project:
    rule, directory = "php.composer", folder(document.path)
    lock_path = beside(directory, "composer.lock")
    lock = reader.json(lock_path)
    versions = _versions(lock) if lock is not None else {}
    return Project(
        path=directory,
        ecosystem=Ecosystem.PHP,
        manifest=document.path,
        name=document.said("name", rule=f"{rule}.name"),
        version=document.said("version", rule=f"{rule}.version"),
        description=document.said("description", rule=f"{rule}.description"),
        license=document.said("license", rule=f"{rule}.license"),
        manager=Finding("composer", document.path, 1, "php.manager"),
        entry_points=tuple(_entry_points(reader, document, directory)),
        scripts=tuple(_scripts(document)),
        toolchain=tuple(_toolchain(document)),
        dependencies=tuple(
            replace(item, value=replace(item.value, locked=versions.get(item.value.name)))
            for item in distinct(list(_dependencies(document)))
        ),
        lock=Finding(Lock("composer", lock.text("plugin-api-version")), lock_path, 1, "php.lock") if lock else None,
    )


def _entry_points(reader: Reader, document: Document, directory: str) -> Iterator[Finding[EntryPoint]]:
    for said in document.strings("bin", rule="php.composer.bin"):
        yield replace_value(said, EntryPoint(said.value.rpartition("/")[2], said.value))
    for name in ("artisan", "bin/console"):
        path = beside(directory, name)
        if reader.has(path):
            yield Finding(EntryPoint(name, name), path, 1, "php.console", Confidence.LIKELY)


def replace_value(finding: Finding[str], value: EntryPoint) -> Finding[EntryPoint]:
    """The same place, another value."""
    return Finding(value, finding.file, finding.line, finding.rule, finding.confidence)


def _scripts(document: Document) -> Iterator[Finding[Command]]:
    for name, value in document.table("scripts").items():
        lines = value if isinstance(value, list) else [value]
        if name.startswith(_LIFECYCLE) or not all(isinstance(line, str) for line in lines):
            continue
        text = "\n".join(str(line) for line in lines)
        command = Command(name, text, "composer", purpose_of(name, text))
        yield document.finding(command, "scripts", name, rule="php.composer.scripts")


def _toolchain(document: Document) -> Iterator[Finding[Toolchain]]:
    places: tuple[tuple[Key, ...], ...] = (("config", "platform", "php"), ("require", "php"))
    for keys in places:
        if constraint := document.text(*keys):
            yield document.finding(Toolchain("php", constraint), *keys, rule=f"php.composer.{keys[0]}")


def _dependencies(document: Document) -> Iterator[Finding[Dependency]]:
    for table, group in (("require", Group.RUNTIME), ("require-dev", Group.DEVELOPMENT)):
        for name, constraint in document.table(table).items():
            if name != "php" and isinstance(constraint, str):
                found = Dependency(name.lower(), "" if constraint == "*" else constraint, group)
                yield document.finding(found, table, name, rule=f"php.composer.{table}")


def _versions(lock: Document) -> dict[str, str]:
    found: dict[str, str] = {}
    packages: list[Any] = [*lock.array("packages"), *lock.array("packages-dev")]
    for package in packages:
        if isinstance(package, dict) and isinstance(package.get("name"), str):
            version = package.get("version")
            if isinstance(version, str) and version.removeprefix("v")[:1].isdigit():
                found[package["name"].lower()] = version.removeprefix("v")
    return found
