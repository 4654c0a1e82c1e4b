"""Tool versions pinned for a whole directory (.tool-versions, mise.toml), handed to the projects in it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from posixpath import basename
from typing import Any

from autonix.findings import Ecosystem, Finding, Project, Toolchain
from autonix.reader import Reader, beside, folder

MISE = ("mise.toml", ".mise.toml", "mise/config.toml", ".mise/config.toml", ".config/mise.toml")
TOOLS: Mapping[str, tuple[Ecosystem, str]] = {
    "python": (Ecosystem.PYTHON, "python"),
    "uv": (Ecosystem.PYTHON, "uv"),
    "poetry": (Ecosystem.PYTHON, "poetry"),
    "nodejs": (Ecosystem.JAVASCRIPT, "node"),
    "node": (Ecosystem.JAVASCRIPT, "node"),
    "pnpm": (Ecosystem.JAVASCRIPT, "pnpm"),
    "yarn": (Ecosystem.JAVASCRIPT, "yarn"),
    "bun": (Ecosystem.JAVASCRIPT, "bun"),
    "rust": (Ecosystem.RUST, "rust"),
    "golang": (Ecosystem.GO, "go"),
    "go": (Ecosystem.GO, "go"),
    "java": (Ecosystem.JAVA, "java"),
    "maven": (Ecosystem.JAVA, "maven"),
    "gradle": (Ecosystem.JAVA, "gradle"),
    "ruby": (Ecosystem.RUBY, "ruby"),
    "php": (Ecosystem.PHP, "php"),
    "elixir": (Ecosystem.ELIXIR, "elixir"),
    "erlang": (Ecosystem.ELIXIR, "erlang"),
    "dotnet": (Ecosystem.DOTNET, "dotnet"),
    "zig": (Ecosystem.ZIG, "zig"),
    "cmake": (Ecosystem.C, "cmake"),
    "scala": (Ecosystem.JAVA, "scala"),
    "sbt": (Ecosystem.JAVA, "sbt"),
    "deno": (Ecosystem.JAVASCRIPT, "deno"),
    "ghc": (Ecosystem.HASKELL, "ghc"),
    "haskell": (Ecosystem.HASKELL, "ghc"),
    "dotnet-core": (Ecosystem.DOTNET, "dotnet"),
}
"""asdf's and mise's names."""


def with_pinned_tools(reader: Reader, projects: Sequence[Project]) -> tuple[Project, ...]:
    """Each project with the pins of its own directory, else of the root, before what its manifest says."""
    directories = {folder(path) for path in reader.named(".tool-versions")}
    directories |= {path[: -len(name)].rstrip("/") or "." for path, name in _configured(reader)}
    return tuple(_with_pins(reader, project, directories) for project in projects) if directories else tuple(projects)


def _configured(reader: Reader) -> Iterator[tuple[str, str]]:
    """Mise's files, and which of its names each has."""
    for name in MISE:
        for path in reader.named(basename(name)):
            if path == name or path.endswith(f"/{name}"):
                yield path, name


def _with_pins(reader: Reader, project: Project, directories: Collection[str]) -> Project:
    for directory in dict.fromkeys((project.path, ".")):
        if directory in directories and (pinned := tuple(_pins(reader, directory, project.ecosystem))):
            return replace(project, toolchain=(*pinned, *project.toolchain))
    return project


def _pins(reader: Reader, directory: str, ecosystem: Ecosystem) -> Iterator[Finding[Toolchain]]:
    path = beside(directory, ".tool-versions")
    for number, line in reader.numbered(path):
        tool, *versions = line.partition("#")[0].split()[:2] or [""]
        if versions and tool in TOOLS and TOOLS[tool][0] is ecosystem and versions[0][:1].isdigit():
            yield Finding(Toolchain(TOOLS[tool][1], versions[0]), path, number, "toolchain.tool-versions")
    for name in MISE:
        document = reader.toml(beside(directory, name))
        for tool, value in document.table("tools").items() if document is not None else ():
            version = _version(value)
            if document is not None and tool in TOOLS and TOOLS[tool][0] is ecosystem and version[:1].isdigit():
                found = Toolchain(TOOLS[tool][1], version)
                yield document.finding(found, "tools", tool, rule="toolchain.mise")


def _version(value: Any) -> str:
    """A version, the first of several, or that of a table; the others are for further uses."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("version")
    return str(value) if isinstance(value, str | int | float) else ""
