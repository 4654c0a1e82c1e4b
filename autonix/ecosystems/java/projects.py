"""Java, Kotlin and Scala builds of a tree (Maven, else Gradle, else sbt); sources are not read."""

from dataclasses import replace

from autonix.ecosystems.java.gradle import gradle_directories, gradle_project
from autonix.ecosystems.java.maven import maven_project
from autonix.ecosystems.java.sbt import sbt_projects
from autonix.ecosystems.workspaces import assigned_workspaces
from autonix.findings import Finding, Project, Toolchain
from autonix.reader import Reader, beside


def java_projects(reader: Reader) -> tuple[Project, ...]:
    """Every build; modules know the build that includes them."""
    maven = [project for path in reader.named("pom.xml") if (project := maven_project(reader, path)) is not None]
    taken = {project.path for project in maven}
    gradle = [gradle_project(reader, directory) for directory in sorted(gradle_directories(reader) - taken)]
    taken |= {project.path for project in gradle}
    sbt = [project for project in sbt_projects(reader) if project.path not in taken]
    joined = assigned_workspaces(sorted([*maven, *gradle, *sbt], key=lambda project: project.path))
    return tuple(replace(project, toolchain=(*_pinned(reader, project.path), *project.toolchain)) for project in joined)


def _pinned(reader: Reader, directory: str) -> tuple[Finding[Toolchain], ...]:
    path = beside(directory, ".java-version")
    text = (reader.text(path) or "").strip()
    return (Finding(Toolchain("java", text), path, 1, "java.java-version"),) if text[:1].isdigit() else ()
