"""What a project gets from its neighbours: frameworks and their ports from libraries, the rest from its container."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from autonix.containers.assembly import home_of
from autonix.findings import Confidence, Container, Ecosystem, Finding, Group, Port, Project
from autonix.mapping.frameworks import FRAMEWORKS, Framework
from autonix.mapping.libraries import plain_name
from autonix.mapping.services import image_parts

_IMAGES: Mapping[Ecosystem, tuple[str, ...]] = {
    Ecosystem.PYTHON: ("python", "astral-sh/uv", "pypy"),
    Ecosystem.JAVASCRIPT: ("node", "oven/bun", "denoland/deno"),
    Ecosystem.RUST: ("rust", "lukemathwalker/cargo-chef"),
    Ecosystem.GO: ("golang",),
    Ecosystem.JAVA: ("maven", "gradle", "eclipse-temurin", "openjdk", "amazoncorretto", "sbtscala/scala-sbt"),
    Ecosystem.RUBY: ("ruby",),
    Ecosystem.PHP: ("php", "composer", "dunglas/frankenphp"),
    Ecosystem.ELIXIR: ("elixir", "hexpm/elixir"),
    Ecosystem.DOTNET: ("dotnet/sdk", "dotnet/aspnet", "dotnet/runtime"),
    Ecosystem.HASKELL: ("haskell", "fpco/stack-build"),
}
"""Base images by which a container's ecosystem is known."""


def with_frameworks(project: Project) -> Project:
    """`project` with the frameworks that its runtime libraries are."""
    known: Mapping[str, Framework] = FRAMEWORKS.get(project.ecosystem, {})
    found = [
        Finding(known[name].name, item.file, item.line, "frameworks.library", Confidence.LIKELY)
        for item in project.dependencies
        if (name := plain_name(project.ecosystem, item.value.name)) in known and item.value.group is Group.RUNTIME
    ]
    return replace(project, frameworks=(*project.frameworks, *found)) if found else project


def with_containers(projects: Sequence[Project], containers: Sequence[Container]) -> tuple[Project, ...]:
    """Each project with what it takes from the first container that is built from its directory."""
    ecosystems: dict[str, set[Ecosystem]] = {}
    for project in projects:
        ecosystems.setdefault(project.path, set()).add(project.ecosystem)
    at_home: dict[str, list[Container]] = {}
    for container in containers:
        if (home := home_of(container, ecosystems)) is not None:
            at_home.setdefault(home, []).append(container)
    found = []
    for project in projects:
        alone = len(ecosystems[project.path]) == 1
        fitting = (each for each in at_home.get(project.path, ()) if _is_for(each, project, alone=alone))
        found.append(_with_container(project, next(fitting, None)))
    return tuple(found)


def _with_container(project: Project, container: Container | None) -> Project:
    """`project` with the ports, environment and health of its container."""
    if container is None:
        ports = () if project.ports else tuple(_framework_ports(project))
        return replace(project, ports=ports) if ports else project
    return replace(
        project,
        ports=project.ports or container.ports or tuple(_probed_ports(container)) or tuple(_framework_ports(project)),
        env=(*container.env, *project.env),
        health=project.health or container.health,
    )


def _is_for(container: Container, project: Project, *, alone: bool) -> bool:
    ecosystem = ecosystem_of(container)
    return ecosystem is project.ecosystem or (alone and ecosystem is None)


def ecosystem_of(container: Container) -> Ecosystem | None:
    """What the last stage is made from, or an earlier one where the last says nothing (a bare system's image)."""
    for stage in reversed(container.stages):
        repository = image_parts(stage.value.image).repository
        for ecosystem, images in _IMAGES.items():
            if repository in images:
                return ecosystem
    return None


def _probed_ports(container: Container) -> Iterator[Finding[Port]]:
    """Where its own health check asks, it listens."""
    for probe in container.health:
        if probe.value.port is not None:
            yield Finding(Port(probe.value.port), probe.file, probe.line, "links.health-port", Confidence.LIKELY)


def _framework_ports(project: Project) -> Iterator[Finding[Port]]:
    """The port of the first framework that has one."""
    ports = {framework.name: framework.port for framework in FRAMEWORKS.get(project.ecosystem, {}).values()}
    for finding in project.frameworks:
        number = ports.get(finding.value)
        if number is not None:
            yield replace_port(finding, number)
            return


def replace_port(framework: Finding[str], number: int) -> Finding[Port]:
    """The default port of a framework, seen where the framework was."""
    return Finding(Port(number), framework.file, framework.line, "frameworks.default-port", Confidence.LIKELY)
