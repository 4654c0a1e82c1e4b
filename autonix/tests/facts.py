"""An analysis as a set of short sentences, in the words of the labels."""

from collections.abc import Iterator

from autonix.findings import Analysis, Container, Group, Probe, Project, Service


def facts(analysis: Analysis) -> frozenset[str]:
    found: set[str] = set()
    for project in analysis.projects:
        where = f"{project.path} {project.ecosystem}"
        found |= {f"project {where}", *(f"{fact[0]} {where} {fact[1]}" for fact in _of_project(project))}
    for service in analysis.services:
        found |= set(_of_service(service))
    for container in analysis.containers:
        found |= set(_of_container(container))
    found |= {f"task {task.value.runner} {task.value.name} {task.value.purpose}" for task in analysis.tasks}
    found |= {f"variable {variable.value.name}" for variable in analysis.env}
    found |= {f"ci {step.value.system} {step.value.purpose} {step.value.text}" for step in analysis.ci}
    found |= {f"ci-toolchain {one.value.system} {one.value.tool} {one.value.constraint}" for one in analysis.ci_tools}
    found |= {f"flake {flake.value.path}" for flake in analysis.flakes}
    return frozenset(found)


def _of_project(project: Project) -> Iterator[tuple[str, str]]:
    yield from (
        (word, one.value)
        for word, one in (("name", project.name), ("version", project.version), ("manager", project.manager))
        if one is not None
    )
    for point in project.entry_points:
        yield "entry", f"{point.value.name} = {point.value.target}"
    for script in project.scripts:
        yield "script", f"{script.value.name} {script.value.purpose}"
    for tool in project.toolchain:
        yield "toolchain", f"{tool.value.tool} {tool.value.constraint}"
    for item in project.dependencies:
        if item.value.group in (Group.RUNTIME, Group.DEVELOPMENT):
            word = "needs" if item.value.group is Group.RUNTIME else "develops-with"
            yield word, f"{item.value.name} {item.value.locked}" if item.value.locked else item.value.name
    yield from (("framework", framework.value) for framework in project.frameworks)
    yield from (("port", str(port.value.number)) for port in project.ports)
    yield from (("health", _probe(probe.value)) for probe in project.health)
    yield from (("member", member.value) for member in project.members)
    if project.workspace is not None:
        yield "workspace", project.workspace
    if project.lock is not None:
        yield "lock", project.lock.value.tool


def _of_service(service: Service) -> Iterator[str]:
    yield f"service {service.name} {service.kind.value}"
    if service.version is not None:
        yield f"service-version {service.name} {service.version.value}"
    yield from (f"service-port {service.name} {port.value.number}" for port in service.ports)
    yield from (f"service-health {service.name} {_probe(probe.value)}" for probe in service.health)
    yield from (f"uses {service.name} {path}" for path in service.used_by)


def _of_container(container: Container) -> Iterator[str]:
    yield f"container {container.name} {container.build or (container.image and container.image.value)}"
    yield from (f"container-port {container.name} {port.value.number}" for port in container.ports)
    yield from (f"container-variable {container.name} {variable.value.name}" for variable in container.env)
    yield from (f"container-health {container.name} {_probe(probe.value)}" for probe in container.health)
    yield from (f"container-after {container.name} {other.value}" for other in container.depends_on)


def _probe(probe: Probe) -> str:
    return f"http {probe.port} {probe.path}" if probe.kind == "http" else f"{probe.kind} {' '.join(probe.command)}"
