"""Tool versions pinned for a whole directory (.tool-versions), handed to the projects in it; manifests are not read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from autonix.findings import Ecosystem, Finding, Project, Toolchain
from autonix.reader import Reader, beside

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
}
"""asdf's and mise's names."""


def with_pinned_tools(reader: Reader, projects: Sequence[Project]) -> tuple[Project, ...]:
    """Each project with the pins of its own directory, else of the root, before what its manifest says."""
    return tuple(replace(project, toolchain=_tools(reader, project)) for project in projects)


def _tools(reader: Reader, project: Project) -> tuple[Finding[Toolchain], ...]:
    pinned = list(_pins(reader, project.path, project.ecosystem))
    if not pinned and project.path != ".":
        pinned = list(_pins(reader, ".", project.ecosystem))
    return (*pinned, *project.toolchain)


def _pins(reader: Reader, directory: str, ecosystem: Ecosystem) -> Iterator[Finding[Toolchain]]:
    path = beside(directory, ".tool-versions")
    for number, line in reader.numbered(path):
        tool, *versions = line.partition("#")[0].split()[:2] or [""]
        if versions and tool in TOOLS and TOOLS[tool][0] is ecosystem and versions[0][:1].isdigit():
            yield Finding(Toolchain(TOOLS[tool][1], versions[0]), path, number, "toolchain.tool-versions")
