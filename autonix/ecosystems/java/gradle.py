"""Gradle builds as far as their text shows: literal coordinates, the version catalog, the wrapper; no script is run."""

import re
from collections.abc import Iterator, Mapping

from autonix.ecosystems.merge import distinct
from autonix.findings import Confidence, Dependency, Ecosystem, Finding, Group, Project, Toolchain
from autonix.formats.document import Document
from autonix.reader import Reader, beside, folder

BUILDS = ("build.gradle", "build.gradle.kts")
SETTINGS = ("settings.gradle", "settings.gradle.kts")
_COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)
_VERSION = re.compile(r"""^version\s*=?\s*["']([^"'$]+)["']""", re.MULTILINE)
_NAME = re.compile(r"""^rootProject\.name\s*=\s*["']([^"'$]+)["']""", re.MULTILINE)
_INCLUDE = re.compile(r"""^[ \t]*include\b\s*\(?((?:\s*["'][^"'$]+["']\s*,?)+)""", re.MULTILINE)
_QUOTED = re.compile(r"""["']([^"'$]+)["']""")
_CALL = re.compile(
    r"^[ \t]*(?P<configuration>[A-Za-z]+)[\s(]+(?:platform\()?"
    r"(?:[\"'](?P<coordinates>[^\"'$\s]+)[\"']|libs\.(?P<alias>[\w.]+))",
    re.MULTILINE,
)
_JAVA = (
    re.compile(r"JavaLanguageVersion\.of\(\s*[\"']?([0-9]+)"),
    re.compile(r"\bjvmToolchain\(\s*([0-9]+)"),
    re.compile(r"\bsourceCompatibility\s*=\s*[\"']?(?:JavaVersion\.VERSION_)?(?:1[._])?([0-9]+)"),
)
_WRAPPER = re.compile(r"^distributionUrl=.*gradle-([0-9][0-9.]*)-(?:bin|all)\.zip", re.MULTILINE)
_GROUPS = {
    **dict.fromkeys(("implementation", "api", "runtimeOnly", "compile", "runtime"), Group.RUNTIME),
    **dict.fromkeys(
        ("testImplementation", "testRuntimeOnly", "testCompile", "developmentOnly", "testApi"), Group.DEVELOPMENT
    ),
    **dict.fromkeys(("compileOnly", "annotationProcessor", "kapt", "ksp"), Group.BUILD),
}


def gradle_directories(reader: Reader) -> set[str]:
    """Directories of builds and of settings."""
    return {folder(path) for path in reader.named(*BUILDS, *SETTINGS)}


def gradle_project(reader: Reader, directory: str) -> Project:
    """What the build and settings of `directory` say; the catalog is that of the nearest directory above."""
    build = _first(reader, directory, BUILDS)
    settings = _first(reader, directory, SETTINGS)
    manifest = build or settings or beside(directory, BUILDS[0])
    text = _plain(reader, build)
    name = _said(_NAME, settings, _plain(reader, settings), "java.gradle.name")
    if name is None and directory != ".":
        name = Finding(directory.rpartition("/")[2], manifest, 1, "java.gradle.directory", Confidence.LIKELY)
    return Project(
        path=directory,
        ecosystem=Ecosystem.JAVA,
        manifest=manifest,
        name=name,
        version=_said(_VERSION, build, text, "java.gradle.version"),
        manager=Finding("gradle", manifest, 1, "java.manager"),
        toolchain=tuple(_toolchain(reader, directory, build, text)),
        dependencies=distinct(list(_dependencies(build or manifest, text, _catalog(reader, directory)))),
        members=tuple(_members(settings, _plain(reader, settings))),
    )


def _first(reader: Reader, directory: str, names: tuple[str, ...]) -> str | None:
    return next((path for name in names if reader.has(path := beside(directory, name))), None)


def _plain(reader: Reader, path: str | None) -> str:
    """The text with comments blanked, lines kept."""
    text = (reader.text(path) or "") if path else ""
    return _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)


def _said(pattern: re.Pattern[str], path: str | None, text: str, rule: str) -> Finding[str] | None:
    match = pattern.search(text)
    if match is None or path is None:
        return None
    return Finding(match[1], path, text.count("\n", 0, match.start(1)) + 1, rule, Confidence.CERTAIN)


def _toolchain(reader: Reader, directory: str, build: str | None, text: str) -> Iterator[Finding[Toolchain]]:
    for pattern in _JAVA:
        if (said := _said(pattern, build, text, "java.gradle.java")) is not None:
            yield Finding(Toolchain("java", said.value), said.file, said.line, said.rule)
            break
    wrapper = beside(directory, "gradle/wrapper/gradle-wrapper.properties")
    if (said := _said(_WRAPPER, wrapper, reader.text(wrapper) or "", "java.gradle.wrapper")) is not None:
        yield Finding(Toolchain("gradle", said.value), said.file, said.line, said.rule)


def _catalog(reader: Reader, directory: str) -> Mapping[str, tuple[str, ...]]:
    """Alias, with dots as build scripts write it, to coordinates; a bundle (`bundles.x`) has several."""
    document: Document | None = None
    while document is None:
        document = reader.toml(beside(directory, "gradle/libs.versions.toml"))
        if directory == ".":
            break
        directory = folder(directory)
    found: dict[str, tuple[str, ...]] = {}
    if document is None:
        return found
    for alias, value in document.table("libraries").items():
        if coordinates := _coordinates(document, value):
            found[_dotted(alias)] = (coordinates,)
    for alias in document.table("bundles"):
        names = [_dotted(str(name)) for name in document.array("bundles", alias)]
        found[f"bundles.{_dotted(alias)}"] = tuple(item for name in names for item in found.get(name, ()))
    return found


def _dotted(alias: str) -> str:
    return alias.replace("-", ".").replace("_", ".")


def _coordinates(document: Document, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    module = value.get("module") or f"{value.get('group')}:{value.get('name')}"
    version = value.get("version")
    if isinstance(version, dict):
        version = document.get("versions", str(version.get("ref")))
    return f"{module}:{version}" if isinstance(version, str) else str(module)


def _dependencies(path: str, text: str, catalog: Mapping[str, tuple[str, ...]]) -> Iterator[Finding[Dependency]]:
    for match in _CALL.finditer(text):
        group = _GROUPS.get(match["configuration"])
        alias = (match["alias"] or "").removesuffix(".get")
        said = (match["coordinates"],) if match["coordinates"] else catalog.get(alias, ())
        line = text.count("\n", 0, match.start("configuration")) + 1
        for parts in (coordinates.split(":") for coordinates in said):
            if group is None or len(parts) < 2:
                continue
            version = parts[2] if len(parts) > 2 else ""
            found = Dependency(":".join(parts[:2]), version, group, locked=version if version[:1].isdigit() else None)
            yield Finding(found, path, line, "java.gradle.dependency", Confidence.LIKELY)


def _members(path: str | None, text: str) -> Iterator[Finding[str]]:
    for match in _INCLUDE.finditer(text):
        for inner in _QUOTED.finditer(match[1]):
            line = text.count("\n", 0, match.start(1) + inner.start()) + 1
            directory = inner[1].strip(":").replace(":", "/")
            yield Finding(directory, path or "", line, "java.gradle.include", Confidence.LIKELY)
