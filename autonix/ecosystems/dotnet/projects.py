"""C# and F# projects of a tree with their solutions, central package versions and locks; MSBuild is never run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from autonix.ecosystems.dotnet.msbuild import (
    BUILD_PROPS,
    PACKAGES_PROPS,
    Item,
    items,
    nearest,
    properties,
)
from autonix.ecosystems.dotnet.solutions import solutions
from autonix.ecosystems.merge import distinct
from autonix.findings import (
    Confidence,
    Dependency,
    Ecosystem,
    EntryPoint,
    Finding,
    Group,
    Lock,
    Port,
    Project,
    Toolchain,
)
from autonix.formats.document import Document
from autonix.reader import Reader, beside, folder

PROJECTS = ("*.csproj", "*.fsproj", "*.vbproj")
TEST_SDK = "Microsoft.NET.Test.Sdk"
_SUFFIX = re.compile(r"\.(cs|fs|vb)proj$")
_NET = re.compile(r"net(?:coreapp)?([0-9]+\.[0-9]+)(?:-[a-z0-9.]+)?")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,3}(-[0-9A-Za-z.-]+)?")
_RUNS = ("Microsoft.NET.Sdk.Web", "Microsoft.NET.Sdk.Worker")
Properties = Mapping[str, Finding[str]]


def dotnet_projects(reader: Reader) -> tuple[Project, ...]:
    """Every project file, and every solution as the workspace of what it lists."""
    found = [project for path in reader.named(*PROJECTS) if (project := _project(reader, path)) is not None]
    owners: dict[str, str] = {}
    roots: list[Project] = []
    for path, members in solutions(reader, {project.manifest for project in found}):
        directory = folder(path)
        if not members or any(root.path == directory for root in roots):
            continue
        listed = tuple(replace(member, value=folder(member.value)) for member in members)
        if any(project.path == directory for project in found):
            continue  # the solution of a single project beside it
        owners |= {member.value: directory for member in listed if member.value not in owners}
        manager = Finding("dotnet", path, 1, "dotnet.manager")
        pinned = tuple(_sdk(reader, directory))
        roots.append(
            Project(directory, Ecosystem.DOTNET, path, manager=manager, toolchain=pinned, members=_once(listed))
        )
    joined = [replace(project, workspace=owners.get(project.path)) for project in found]
    return tuple(sorted((*roots, *joined), key=lambda project: (project.path, project.manifest)))


def _once(members: Sequence[Finding[str]]) -> tuple[Finding[str], ...]:
    found = {member.value: member for member in reversed(members)}
    return tuple(found[directory] for directory in sorted(found))


def _project(reader: Reader, path: str) -> Project | None:
    document = reader.xml(path)
    if document is None or not document.table("Project"):
        return None
    directory = folder(path)
    above = [
        reader.xml(found)
        for name in (BUILD_PROPS, PACKAGES_PROPS)
        if (found := nearest(reader, directory, name)) is not None
    ]
    documents = [each for each in (*above, document) if each is not None]
    known = properties(documents)
    references = list(items(document, "PackageReference", known))
    is_test = _is_test(known, references)
    stem = Finding(_SUFFIX.sub("", path.rpartition("/")[2]), path, 1, "dotnet.msbuild.file")
    name = _literal(known, "AssemblyName") or _literal(known, "PackageId") or stem
    lock_path = beside(directory, "packages.lock.json")
    lock = reader.json(lock_path)
    return Project(
        path=directory,
        ecosystem=Ecosystem.DOTNET,
        manifest=path,
        name=name,
        version=_version(known),
        description=_literal(known, "Description"),
        license=_literal(known, "PackageLicenseExpression"),
        manager=Finding("dotnet", path, 1, "dotnet.manager"),
        entry_points=tuple(_entry_point(document, known, name)) if not is_test else (),
        toolchain=(*_sdk(reader, directory), *_frameworks(known)),
        dependencies=tuple(_dependencies(references, _central(documents, known), lock, is_test=is_test)),
        frameworks=tuple(_web(document)),
        ports=tuple(_ports(reader, directory)),
        lock=Finding(Lock("nuget", str(lock.get("version") or "")), lock_path, 1, "dotnet.lock") if lock else None,
    )


def _literal(known: Properties, name: str) -> Finding[str] | None:
    said = known.get(name)
    return said if said is not None and "$(" not in said.value else None


def _version(known: Properties) -> Finding[str] | None:
    for name in ("Version", "PackageVersion", "VersionPrefix"):
        if name in known:
            return known[name] if _VERSION.fullmatch(known[name].value) else None
    return None


def _is_test(known: Properties, references: Sequence[Item]) -> bool:
    said = known.get("IsTestProject")
    return (said is not None and said.value.lower() == "true") or any(item.include == TEST_SDK for item in references)


def _sdks(document: Document) -> tuple[str, ...]:
    return tuple(part.partition("/")[0].strip() for part in document.text("Project", "@Sdk").split(";"))


def _entry_point(document: Document, known: Properties, name: Finding[str]) -> Iterator[Finding[EntryPoint]]:
    kind = known.get("OutputType")
    if any(sdk in _RUNS for sdk in _sdks(document)):
        where = document.finding("", "Project", "@Sdk", rule="dotnet.msbuild.sdk")
    elif kind is not None and kind.value.lower() in ("exe", "winexe"):
        where = kind
    else:
        return
    target = document.path.rpartition("/")[2]
    yield Finding(EntryPoint(name.value, target), where.file, where.line, where.rule)


def _web(document: Document) -> Iterator[Finding[str]]:
    if "Microsoft.NET.Sdk.Web" in _sdks(document):
        yield document.finding("aspnetcore", "Project", "@Sdk", rule="dotnet.msbuild.sdk")


def _sdk(reader: Reader, directory: str) -> Iterator[Finding[Toolchain]]:
    """The SDK that the nearest global.json asks for."""
    path = nearest(reader, directory, "global.json")
    document = reader.json(path) if path is not None else None
    if document is not None and (version := document.text("sdk", "version")):
        yield document.finding(Toolchain("dotnet", version), "sdk", "version", rule="dotnet.global-json")


def _frameworks(known: Properties) -> Iterator[Finding[Toolchain]]:
    """`net8.0` needs .NET 8.0; a standard or the .NET Framework of Windows says nothing about it."""
    said = known.get("TargetFrameworks") or known.get("TargetFramework")
    for word in said.value.split(";") if said is not None else ():
        if said is not None and (match := _NET.fullmatch(word.strip())):
            yield Finding(Toolchain("dotnet", match[1]), said.file, said.line, said.rule)


def _central(documents: Sequence[Document], known: Properties) -> dict[str, str]:
    return {
        item.include.lower(): item.metadata.get("Version", "")
        for document in documents
        for item in items(document, "PackageVersion", known)
    }


def _dependencies(
    references: Sequence[Item], central: Mapping[str, str], lock: Document | None, *, is_test: bool
) -> tuple[Finding[Dependency], ...]:
    resolved = dict(_resolved(lock)) if lock is not None else {}
    found: list[Finding[Dependency]] = []
    for item in references:
        version = item.metadata.get("VersionOverride") or item.metadata.get("Version")
        constraint = version or central.get(item.include.lower(), "")
        private = item.metadata.get("PrivateAssets", "").lower() == "all"
        dependency = Dependency(
            item.include,
            "" if "$(" in constraint else constraint,
            Group.DEVELOPMENT if is_test or private else Group.RUNTIME,
            locked=resolved.get(item.include.lower()),
        )
        found.append(Finding(dependency, item.document.path, item.line, "dotnet.msbuild.PackageReference"))
    return distinct(found)


def _resolved(lock: Document) -> Iterator[tuple[str, str]]:
    """Versions that all frameworks of a lock agree on."""
    versions: dict[str, set[str]] = {}
    for framework in lock.table("dependencies"):
        for name, entry in lock.table("dependencies", framework).items():
            if isinstance(entry, dict) and isinstance(entry.get("resolved"), str):
                versions.setdefault(name.lower(), set()).add(entry["resolved"])
    yield from ((name, next(iter(found))) for name, found in versions.items() if len(found) == 1)


def _ports(reader: Reader, directory: str) -> Iterator[Finding[Port]]:
    """Where `dotnet run` listens: the plain address of the first profile that starts the project itself."""
    document = reader.json(beside(directory, "Properties/launchSettings.json"))
    for profile in document.table("profiles") if document is not None else ():
        keys = ("profiles", profile)
        if document is None or document.text(*keys, "commandName") != "Project":
            continue
        for address in document.text(*keys, "applicationUrl").split(";"):
            try:
                url = urlsplit(address.strip())
                number = url.port
            except ValueError:
                continue
            if url.scheme == "http" and number:
                where = (*keys, "applicationUrl")
                yield document.finding(
                    Port(number), *where, rule="dotnet.launch-settings", confidence=Confidence.LIKELY
                )
                return
