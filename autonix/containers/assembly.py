"""The containers and services of a tree, from its Compose files and Dockerfiles; libraries are not its matter."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from posixpath import basename

from autonix.containers.compose import Composed
from autonix.containers.dockerfiles import dockerfile_paths, from_dockerfile
from autonix.containers.layers import compose_services
from autonix.findings import Confidence, Container, Finding, Mount, Port, Service
from autonix.mapping.services import ServiceKind, image_parts, kind_of_image
from autonix.reader import Reader, folder

_VERSION = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)(?![0-9A-Za-z.])")
_POSTGRES = re.compile(r"(?:^|-)pg([0-9]+(?:\.[0-9]+)*)$")
_OWN_NUMBERS = frozenset(
    (
        *("confluentinc/cp-kafka", "confluentinc/cp-zookeeper", "wurstmeister/kafka", "wurstmeister/zookeeper"),
        *("timescale/timescaledb", "supabase/postgres", "ankane/pgvector", "pgvector/pgvector", "redislabs/rejson"),
        "azure-sql-edge",
    )
)
"""Images whose tags count the image's or an extension's versions, not the service's."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """What runs in containers: our own (and unknown) ones, and those of known services."""

    containers: tuple[Container, ...]
    services: tuple[Service, ...]


def assemble(reader: Reader, root_name: str) -> Assembly:
    """Every Compose service once, built ones completed by their Dockerfile, and every other Dockerfile by itself."""
    containers: list[Container] = []
    services: list[Service] = []
    used: set[str] = set()
    taken: set[str] = set()
    run = list(compose_services(reader))
    names = {(item.project, item.container.name): unique(dns_label(item.container.name), taken) for item in run}
    for composed in run:
        container = replace(composed.container, depends_on=_ordered(composed, names))
        name = names[composed.project, container.name]
        kind = kind_of_image(container.image.value) if container.image and container.build is None else None
        if kind is not None and container.image is not None:
            services.append(_service(replace(container, name=name), container.image, kind))
            continue
        if composed.dockerfile is not None:
            used.add(composed.dockerfile)
            container = _completed(reader, container, composed)
        containers.append(replace(container, name=name))
    for path in dockerfile_paths(reader):
        if path not in used and (built := from_dockerfile(reader, path)) is not None:
            containers.append(replace(built, name=unique(dns_label(built.name or root_name), taken)))
    return Assembly(tuple(containers), tuple(services))


def _completed(reader: Reader, container: Container, composed: Composed) -> Container:
    """Compose's word first, then the Dockerfile's."""
    built = from_dockerfile(reader, composed.dockerfile, target=composed.target) if composed.dockerfile else None
    if built is None:
        return container
    known = {finding.value.name for finding in container.env}
    numbers = {(finding.value.number, finding.value.protocol) for finding in container.ports}
    return replace(
        container,
        dockerfile=built.dockerfile,
        stages=built.stages,
        command=container.command or built.command,
        ports=(*container.ports, *(p for p in built.ports if (p.value.number, p.value.protocol) not in numbers)),
        env=(*container.env, *(variable for variable in built.env if variable.value.name not in known)),
        mounts=container.mounts or built.mounts,
        health=container.health or built.health,
    )


def _service(container: Container, image: Finding[str], kind: ServiceKind) -> Service:
    seen = Finding(f"the image {image.value}", image.file, image.line, "services.image", image.confidence)
    return Service(
        name=container.name,
        kind=replace(image, value=kind.kind, rule="services.image"),
        evidence=(seen,),
        size=kind.size,
        version=image_version(image),
        image=image,
        ports=container.ports or default_ports(kind, image),
        env=container.env,
        mounts=container.mounts or tuple(_default_mounts(kind, image)),
        health=container.health,
        depends_on=container.depends_on,
    )


def default_ports(kind: ServiceKind, because: Finding[str]) -> tuple[Finding[Port], ...]:
    """The kind's own ports, where nothing says otherwise."""
    return tuple(
        Finding(Port(number), because.file, because.line, "services.default-port", Confidence.LIKELY)
        for number in kind.ports
    )


def _ordered(composed: Composed, names: Mapping[tuple[str, str], str]) -> tuple[Finding[str], ...]:
    """Whom it waits for, by the names that they have in the analysis; each once."""
    found: dict[str, Finding[str]] = {}
    for name in composed.container.depends_on:
        if (known := names.get((composed.project, name.value))) is not None:
            found.setdefault(known, replace(name, value=known))
    return tuple(found.values())


def _default_mounts(kind: ServiceKind, because: Finding[str]) -> Iterator[Finding[Mount]]:
    if kind.data is not None:
        yield Finding(Mount(kind.data), because.file, because.line, "services.default-data", Confidence.LIKELY)


def image_version(image: Finding[str]) -> Finding[str] | None:
    """The service's version as far as the tag says it: `16-alpine` → `16`; None for `latest` and an image's own."""
    parts = image_parts(image.value)
    if match := _POSTGRES.search(parts.tag):
        return replace(image, value=match[1], rule="services.image-tag")
    match = None if parts.repository in _OWN_NUMBERS else _VERSION.match(parts.tag)
    return replace(image, value=match[1], rule="services.image-tag") if match else None


def dns_label(name: str) -> str:
    """`My_App.web` → `my-app-web`; at most 63 characters; `app` where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:63].strip("-") or "app"


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name-2` and so on where it is taken; what it returns is taken from then on."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name[:58]}-{number}", number + 1
    taken.add(candidate)
    return candidate


def home_of(container: Container, projects: Collection[str]) -> str | None:
    """The project that a container is of: the Dockerfile's directory where that is one, else the build context.

    A `Dockerfile.extra` that no Compose file builds is of none: it is seldom the application itself.
    """
    if container.dockerfile is None:
        return container.build if container.build in projects else None
    if container.file == container.dockerfile and basename(container.file) not in ("Dockerfile", "Containerfile"):
        return None
    return next((path for path in (folder(container.dockerfile), container.build) if path in projects), None)
