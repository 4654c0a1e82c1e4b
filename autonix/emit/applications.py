"""Which projects run as VMs, and by which command; a project that nothing starts is none, and it says so."""

import shlex
from dataclasses import dataclass, field

from autonix.containers.assembly import home_of
from autonix.emit.recipes import Named
from autonix.emit.words import distinct, dns_label
from autonix.explain import reason
from autonix.findings import (
    Analysis,
    Command,
    Container,
    Dependency,
    Ecosystem,
    Finding,
    Port,
    Probe,
    Project,
    Purpose,
    Variable,
)
from autonix.links import ecosystem_of
from autonix.mapping.frameworks import ON_A_SCREEN
from autonix.nixast import Node, Select, Str, Var

INTERPRETED = (Ecosystem.PYTHON, Ecosystem.JAVASCRIPT, Ecosystem.RUBY)
"""Their commands name scripts and modules, which the package has; a container's paths of programs it has not."""


NOTHING_STARTS_IT = (
    "nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)"
)
_DJANGO_PORT = 8000
NO_CONTAINER: tuple[Container | None, ...] = (None,)


@dataclass(frozen=True, slots=True)
class Start:
    """A shell text, and why it is the one."""

    script: Str
    because: str


@dataclass(frozen=True, slots=True)
class Application:
    """A project as a VM. `uses` are names of services, `notes` what was seen and is not in the cluster."""

    vm: str
    named: Named
    start: Start
    ports: tuple[Finding[Port], ...]
    health: tuple[Finding[Probe], ...]
    env: tuple[Finding[Variable], ...]
    uses: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def applications(analysis: Analysis, projects: tuple[Named, ...]) -> tuple[tuple[Application, ...], tuple[str, ...]]:
    """The applications, in the analysis' order, and a sentence on each project or container that is none."""
    found: list[Application] = []
    notes: list[str] = []
    idle: list[str] = []
    claimed: set[str] = set()
    taken = {service.name for service in analysis.services}
    homes = {each.project.path for each in projects}
    for named in projects:
        if (library := _of_a_screen(named.project)) is not None:
            notes.append(f"{named.name}: an application for a desktop or a phone, by {reason(library)}")
            continue
        alone = sum(each.project.path == named.project.path for each in projects) == 1
        containers: list[Container | None] = [
            each
            for each in analysis.containers
            if each.name not in claimed
            and home_of(each, homes) == named.project.path
            and (ecosystem_of(each) is named.project.ecosystem or (alone and ecosystem_of(each) is None))
        ]
        for container in containers or NO_CONTAINER:
            start = _start(named, container, analysis)
            if start is None or (container is not None and _is_a_tool(named, container, analysis)):
                if named.recipe.refusal:
                    notes.append(f"{named.name} ({named.project.manifest}): {named.recipe.refusal}")
                else:
                    idle.append(named.name)
                continue
            if container is not None:
                claimed.add(container.name)
            wanted = dns_label(container.name if container else named.name)
            vm = distinct(wanted, (*taken, *(each.vm for each in found)))
            found.append(_application(vm, named, container, start, analysis))
    for container in analysis.containers:
        if container.name not in claimed and home_of(container, homes) not in homes:
            what = container.image.value if container.image else f"built from {container.build}"
            notes.append(f"{container.name} ({container.file}): an image ({what}) that no project here makes")
    if idle:
        notes.append(f"{', '.join(dict.fromkeys(idle))}: {NOTHING_STARTS_IT}")
    return tuple(found), tuple(dict.fromkeys(notes))


def _of_a_screen(project: Project) -> Finding[Dependency] | None:
    """The library by which it is an application for a desktop or a phone."""
    known = ON_A_SCREEN.get(project.ecosystem, frozenset())
    return next((each for each in project.dependencies if each.value.name in known), None)


def _is_a_tool(named: Named, container: Container, analysis: Analysis) -> bool:
    """Whether an image only wraps a program that ends: no Compose file runs it, and nothing of it or for it listens."""
    project = named.project
    used = any(project.path in service.used_by for service in analysis.services)
    return container.file == container.dockerfile and not (
        container.ports or project.ports or project.frameworks or used
    )


def _application(vm: str, named: Named, container: Container | None, start: Start, analysis: Analysis) -> Application:
    project = named.project
    whole_tree = analysis.env if project.path in ("", ".") or len(analysis.projects) == 1 else ()
    services = {service.name for service in analysis.services}
    used = [service.name for service in analysis.services if project.path in service.used_by]
    if container is not None:
        used += [each.value for each in container.depends_on if each.value in services]
    unmapped = tuple(
        f"{vm}: what {reason(mount)} mounts at {mount.value.path} has no volume here"
        for mount in (container.mounts if container else ())
        if mount.value.named
    )
    return Application(
        vm=vm,
        named=named,
        start=start,
        ports=_ports((*(container.ports if container else ()), *project.ports)),
        health=(*(container.health if container else ()), *project.health),
        env=(*(container.env if container else ()), *project.env, *whole_tree),
        uses=tuple(dict.fromkeys(used)),
        notes=unmapped,
    )


def _ports(findings: tuple[Finding[Port], ...]) -> tuple[Finding[Port], ...]:
    """One finding for each TCP port; one that names the host's port before one that does not."""
    found: dict[int, Finding[Port]] = {}
    for finding in findings:
        port = finding.value
        known = found.get(port.number)
        if port.protocol != "tcp" or not 1 <= port.number <= 65535:
            continue
        if known is None or (known.value.published is None and port.published is not None):
            found[port.number] = finding
    return tuple(found.values())


def _start(named: Named, container: Container | None, analysis: Analysis) -> Start | None:
    if named.recipe.package is None:
        return None
    if named.recipe.served is not None:
        return Start(Str(()), f"php-fpm behind nginx, as its framework wants: {reason(named.recipe.served)}")
    if container is not None and container.command is not None:
        words = container.command.value
        program = words[0].rpartition("/")[2] if words else ""
        if (
            program in named.recipe.programs
            and not named.recipe.arguments
            and not any(character.isspace() for character in program)
        ):
            return Start(_program(named, program, words[1:]), reason(container.command))
        text = _container_text(words, named)
        if text is not None:
            return Start(Str((f"exec {text}\n",)), reason(container.command))
    scripted = _scripted(named, analysis)
    if scripted is not None:
        return scripted
    own_server = _django(named) or _rails(named)
    if own_server is not None:
        return own_server
    programs = named.recipe.programs
    own = [name for name in programs if len(programs) == 1 or dns_label(name) == named.name]
    serves = container is not None or named.project.ports or named.project.frameworks
    if own and serves:
        entry = next((each for each in named.project.entry_points if each.value.name == own[0]), named.recipe.server)
        return Start(_program(named, own[0], named.recipe.arguments), reason(entry)) if entry else None
    return None


def _program(named: Named, program: str, arguments: tuple[str, ...] = ()) -> Str:
    package: Node = Select(Var("packages"), (named.name,))
    return Str((f"{_prelude(named.project)}exec ", package, f"/bin/{shlex.join((program, *arguments))}\n"))


def _prelude(project: Project) -> str:
    """What a framework must be told to run as a server of a machine, and a release to need no cookie of a cluster."""
    frameworks = {each.value for each in project.frameworks}
    lines: list[str] = []
    if "aspnetcore" in frameworks and project.ports:
        lines.append(f'export ASPNETCORE_URLS="${{ASPNETCORE_URLS:-http://0.0.0.0:{project.ports[0].value.number}}}"')
    if "phoenix" in frameworks:
        lines.append("export PHX_SERVER=true")
    if "rails" in frameworks:
        lines.append('export RAILS_ENV="${RAILS_ENV:-production}" RAILS_LOG_TO_STDOUT=1')
    if project.ecosystem is Ecosystem.ELIXIR:
        lines.append("export RELEASE_DISTRIBUTION=none RELEASE_COOKIE=unused")
    return "".join(f"{line}\n" for line in lines)


def _django(named: Named) -> Start | None:
    """Sources with a `manage.py` and no other way to start them."""
    entry = next((each for each in named.project.entry_points if each.value.target == "manage.py"), None)
    if entry is None or not named.recipe.home:
        return None
    because = f"{reason(entry)}: Django's own server, as nothing names another"
    return Start(Str((f"exec python manage.py runserver 0.0.0.0:{_DJANGO_PORT}\n",)), because)


def _rails(named: Named) -> Start | None:
    """An application of Rails that nothing else starts."""
    entry = next((each for each in named.project.entry_points if each.value.name == "bin/rails"), None)
    if entry is None or not named.recipe.home:
        return None
    because = f"{reason(entry)}: Rails' own server, as nothing names another"
    return Start(Str((f"{_prelude(named.project)}exec rails server -b 0.0.0.0 -P $HOME/server.pid\n",)), because)


def _scripted(named: Named, analysis: Analysis) -> Start | None:
    known: list[Finding[Command]] = list(named.project.scripts)
    if named.project.path in ("", "."):
        known += analysis.tasks
    for finding in known:
        command = finding.value
        if command.purpose is not Purpose.START or not command.text:
            continue
        if command.runner in ("npm", "yarn", "pnpm"):
            return Start(Str((f"exec npm run {shlex.quote(command.name)}\n",)), reason(finding))
        if command.runner == "bun":
            return Start(Str((f"exec bun run {shlex.quote(command.name)}\n",)), reason(finding))
        if command.runner == "procfile":
            return Start(Str((f"{_prelude(named.project)}{command.text}\n",)), reason(finding))
    return None


def _container_text(command: tuple[str, ...], named: Named) -> str | None:
    """A container's command as shell text, where the package here has the program that it names."""
    if not command:
        return None
    words = command
    if len(command) == 1 and any(character.isspace() for character in command[0]):
        try:
            words = tuple(shlex.split(command[0]))
        except ValueError:
            return None
    if words[:2] in (("sh", "-c"), ("/bin/sh", "-c")):
        return shlex.join(("sh", *words[1:])) if named.project.ecosystem in INTERPRETED else None
    if not words or "/" in words[0] or "=" in words[0]:
        return None
    fits = words[0] in named.recipe.programs or (
        named.project.ecosystem in INTERPRETED
        and words[0] not in ("yarn", "pnpm", "bun", "poetry", "uv", "pdm", "pipenv")
    )
    return shlex.join(words) if fits else None
