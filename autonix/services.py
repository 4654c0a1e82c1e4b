"""Which services the projects need: those that Compose runs, and those that libraries, URLs and CI speak of.

What a file declares outweighs what a library suggests: a driver for another SQL database, or for an old name of the
same protocol, makes no service of its own beside a declared one. A library counts only in a project that runs, and
where Compose runs the project itself, its list of services is whole: a further library is for an option that is off.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from autonix.containers.assembly import Assembly, default_ports, home_of, image_version, unique
from autonix.environment import raw_variables
from autonix.findings import Confidence, Container, Finding, Group, Project, Purpose, Service
from autonix.links import ecosystem_of
from autonix.mapping.frameworks import FRONT_ENDS
from autonix.mapping.libraries import is_embedded, kinds_of
from autonix.mapping.services import SERVICES, image_parts, kind_of_scheme
from autonix.reader import Reader, folder

_LIKELY = Confidence.LIKELY
CHOSEN_BY_DRIVER = "services.laravel"
"""The rule whose evidence is a choice among all servers that a framework could use."""
_SAME_PROTOCOL = ({"mysql", "mariadb"}, {"redis", "valkey"}, {"elasticsearch", "opensearch"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that speaks for a kind; `declared`: a file names the service itself. `project` is a path, or None.

    `option`: it says who uses a service, and is not enough for one of its own.
    """

    kind: str
    seen: Finding[str]
    project: str | None = None
    declared: bool = False
    option: bool = False
    version: Finding[str] | None = None


def services(
    reader: Reader, projects: Sequence[Project], assembly: Assembly, declared: Sequence[Evidence]
) -> tuple[Service, ...]:
    """Compose's services with all that speaks for them, then the others, in the order of their kinds' names.

    `declared` is what rules elsewhere (CI, schemas) have found.
    """
    chosen = {item.project for item in declared if item.seen.rule == CHOSEN_BY_DRIVER}
    found = [*_from_urls(reader, projects), *declared, *_from_libraries(projects, assembly.containers, chosen)]
    result = [replace(service, used_by=_users(service, projects, assembly.containers)) for service in assembly.services]
    named = {service.kind.value for service in result} | {evidence.kind for evidence in found if evidence.declared}
    taken = {service.name for service in result} | {container.name for container in assembly.containers}
    for kind in sorted({evidence.kind for evidence in found}):
        of_kind = [evidence for evidence in found if evidence.kind == kind]
        options = all(evidence.option for evidence in of_kind)
        of_kind.sort(key=lambda evidence: evidence.option)
        index = next((i for i, service in enumerate(result) if _stands_for(service.kind.value, kind)), None)
        if index is not None:
            result[index] = _with(result[index], of_kind)
        elif any(evidence.declared for evidence in of_kind) or not (options or _is_answered(kind, named)):
            result.append(_new(kind, of_kind, taken))
    return tuple(result)


def _stands_for(kind: str, wanted: str) -> bool:
    return kind == wanted or any({kind, wanted} <= family for family in _SAME_PROTOCOL)


def _is_answered(kind: str, named: set[str]) -> bool:
    """Whether a declared service makes the library for `kind` one of several drivers."""
    if any(_stands_for(other, kind) for other in named):
        return True
    return SERVICES[kind].sql and any(SERVICES[other].sql for other in named)


def _with(service: Service, evidence: Sequence[Evidence]) -> Service:
    users = {*service.used_by, *(item.project for item in evidence if item.project is not None)}
    return replace(
        service, evidence=(*service.evidence, *(item.seen for item in evidence)), used_by=tuple(sorted(users))
    )


def _new(kind: str, evidence: Sequence[Evidence], taken: set[str]) -> Service:
    strongest = next((item for item in evidence if item.declared), evidence[0])
    known = SERVICES[kind]
    return Service(
        name=unique(kind, taken),
        kind=replace(strongest.seen, value=kind),
        evidence=tuple(item.seen for item in evidence),
        size=known.size,
        version=_agreed([item.version for item in evidence if item.version is not None]),
        ports=default_ports(known, strongest.seen),
        used_by=tuple(sorted({item.project for item in evidence if item.project is not None})),
    )


def _agreed(versions: Sequence[Finding[str]]) -> Finding[str] | None:
    """The version that all name; of several (a test matrix) none is the one."""
    return versions[0] if len({version.value for version in versions}) == 1 else None


def _users(service: Service, projects: Sequence[Project], containers: Sequence[Container]) -> tuple[str, ...]:
    """Projects whose container depends on the service."""
    paths = {project.path for project in projects}
    waiting = [item for item in containers if any(name.value == service.name for name in item.depends_on)]
    return tuple(sorted({home for item in waiting if (home := home_of(item, paths)) is not None}))


def _from_urls(reader: Reader, projects: Sequence[Project]) -> Iterator[Evidence]:
    for path, line, name, value in raw_variables(reader):
        kind = kind_of_url(value)
        if kind is not None:
            seen = Finding(f"the address in {name}", path, line, "services.url", Confidence.LIKELY)
            yield Evidence(kind, seen, _nearest(path, projects), declared=True)


def kind_of_url(value: str) -> str | None:
    """The kind of service that an address is of, by its scheme."""
    try:
        scheme = urlsplit(value.strip().removeprefix("jdbc:")).scheme if "://" in value else ""
    except ValueError:
        return None
    kind = kind_of_scheme(scheme)
    return None if kind is None else kind.kind


def _nearest(path: str, projects: Sequence[Project]) -> str | None:
    """The project in whose directory the file lies."""
    directory = folder(path)
    return next((project.path for project in projects if project.path == directory), None)


def _from_libraries(
    projects: Sequence[Project], containers: Sequence[Container], chosen: Collection[str | None]
) -> Iterator[Evidence]:
    """`chosen`: projects whose settings name their servers, so that a further library is for an option."""
    for project in projects:
        if not runs(project, containers):
            continue
        listed = project.path in chosen or any(_is_run_by_compose(project, item) for item in containers)
        needed = [(finding, finding.value) for finding in project.dependencies if finding.value.group is Group.RUNTIME]
        drivers = [
            (kind, finding)
            for finding, item in needed
            for kind in kinds_of(project.ecosystem, item.name, item.features)
        ]
        databases = {kind for kind, _ in drivers if SERVICES[kind].sql}
        embedded = any(is_embedded(project.ecosystem, item.name, item.features) for _, item in needed)
        for kind, finding in drivers:
            one_of_several = SERVICES[kind].sql and (embedded or len(databases) > 1)
            words = f"the library {finding.value.name}"
            seen = Finding(words, finding.file, finding.line, "services.library", _LIKELY)
            yield Evidence(kind, seen, project.path, option=listed or one_of_several)


def _is_run_by_compose(project: Project, container: Container) -> bool:
    """Whether a Compose file builds the project, or its workspace, or runs an image that is named like it.

    A Compose file beside the manifest may keep its Dockerfile elsewhere: then the base image has to fit.
    """
    if container.file == container.dockerfile:
        return False
    if home_of(container, (project.path, project.workspace or project.path)) is not None:
        return True
    if folder(container.file) == project.path and ecosystem_of(container) is project.ecosystem:
        return True
    image = image_parts(container.image.value).repository.rpartition("/")[2] if container.image else ""
    return project.name is not None and image == project.name.value.rpartition("/")[2]


def runs(project: Project, containers: Sequence[Container]) -> bool:
    """Whether a project is something that runs, not a library for others: it has a command, a framework or an image."""
    return bool(
        project.entry_points
        or any(framework.value not in FRONT_ENDS for framework in project.frameworks)
        or any(home_of(container, (project.path,)) is not None for container in containers)
        or any(script.value.purpose is Purpose.START for script in project.scripts)
    )


def image_evidence(image: Finding[str], kind: str) -> Evidence:
    """An image that CI runs beside the tests: it knows a version, but often it is one of several to test with."""
    seen = replace(image, value=f"the image {image.value} in CI", rule="services.ci-image", confidence=_LIKELY)
    return Evidence(kind, seen, option=True, version=image_version(image))
