"""pom.xml as projects: properties and the parent of the same tree are followed, remote parents are not fetched."""

import re
from collections.abc import Iterator, Mapping

from autonix.ecosystems.merge import distinct
from autonix.findings import Dependency, Ecosystem, Finding, Group, Project, Toolchain
from autonix.formats.document import Document, Key
from autonix.reader import Reader, beside, folder

_PROPERTY = re.compile(r"\$\{([^{}]+)\}")
_JAVA = ("maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source")
_GROUPS = {"test": Group.DEVELOPMENT, "provided": Group.BUILD, "system": Group.BUILD, "import": Group.BUILD}


def maven_project(reader: Reader, path: str) -> Project | None:
    """What one pom.xml says; None where it is none."""
    document = reader.xml(path)
    if document is None or not document.table("project"):
        return None
    known = _properties(reader, document)
    rule = "java.maven"
    return Project(
        path=folder(path),
        ecosystem=Ecosystem.JAVA,
        manifest=path,
        name=_expanded(document.said("project", "artifactId", rule=f"{rule}.artifactId"), known),
        version=_version(document, known),
        description=_expanded(document.said("project", "description", rule=f"{rule}.description"), known),
        manager=Finding("maven", path, 1, "java.manager"),
        toolchain=tuple(_toolchain(reader, document)),
        dependencies=distinct(list(_dependencies(document, known))),
        members=tuple(_modules(document)),
    )


def _version(document: Document, known: Mapping[str, str]) -> Finding[str] | None:
    said = document.said("project", "version", rule="java.maven.version")
    return _expanded(said or document.said("project", "parent", "version", rule="java.maven.parent"), known)


def _expanded(finding: Finding[str] | None, known: Mapping[str, str]) -> Finding[str] | None:
    """The value with properties filled in; None where one is not known."""
    if finding is None:
        return None
    value = _expand(finding.value, known)
    return None if "${" in value else Finding(value, finding.file, finding.line, finding.rule, finding.confidence)


def _expand(text: str, known: Mapping[str, str]) -> str:
    for _ in range(3):
        text = _PROPERTY.sub(lambda match: known.get(match[1], match[0])[:1000], text[:1000])
    return text


def _parent(reader: Reader, document: Document) -> Document | None:
    """The parent's pom where it lies in the tree: `relativePath`, by default one directory up."""
    if not document.table("project", "parent"):
        return None
    said = document.get("project", "parent", "relativePath")
    path = beside(folder(document.path), said if isinstance(said, str) and said else "../pom.xml")
    return reader.xml(path if path.endswith(".xml") else beside(path, "pom.xml")) if said != "" else None


def _properties(reader: Reader, document: Document, depth: int = 0) -> dict[str, str]:
    parent = _parent(reader, document) if depth < 5 else None
    known = _properties(reader, parent, depth + 1) if parent is not None else {}
    known |= {name: value for name, value in document.table("project", "properties").items() if isinstance(value, str)}
    for name in ("version", "groupId", "artifactId"):
        value = document.text("project", name) or document.text("project", "parent", name)
        if value:
            known |= {f"project.{name}": value, f"pom.{name}": value}
        if inherited := document.text("project", "parent", name):
            known[f"project.parent.{name}"] = inherited
    return known


def _toolchain(reader: Reader, document: Document, depth: int = 0) -> Iterator[Finding[Toolchain]]:
    for name in _JAVA:
        keys: tuple[Key, ...] = ("project", "properties", name)
        value = document.text(*keys)
        if value[:1].isdigit():
            release = value.removeprefix("1.") if value.startswith("1.") else value
            yield document.finding(Toolchain("java", release), *keys, rule="java.maven.properties")
            return
    parent = _parent(reader, document) if depth < 5 else None
    if parent is not None:
        yield from _toolchain(reader, parent, depth + 1)


def _dependencies(document: Document, known: Mapping[str, str]) -> Iterator[Finding[Dependency]]:
    base: tuple[Key, ...] = ("project", "dependencies", "dependency")
    value = document.get(*base)
    places = [(*base, index) for index in range(len(value))] if isinstance(value, list) else [base]
    for keys in places:
        group, artifact = (_expand(document.text(*keys, name), known) for name in ("groupId", "artifactId"))
        if not group or not artifact:
            continue
        version = _expand(document.text(*keys, "version"), known)
        version = "" if "${" in version else version
        when = _GROUPS.get(document.text(*keys, "scope"), Group.RUNTIME)
        if document.text(*keys, "optional") == "true" and when is Group.RUNTIME:
            when = Group.OPTIONAL
        locked = version if version[:1].isdigit() else None
        found = Dependency(f"{group}:{artifact}", version, when, locked=locked)
        yield document.finding(found, *keys, rule="java.maven.dependency")


def _modules(document: Document) -> Iterator[Finding[str]]:
    if module := document.said("project", "modules", "module", rule="java.maven.modules"):
        yield module
    yield from document.strings("project", "modules", "module", rule="java.maven.modules")
