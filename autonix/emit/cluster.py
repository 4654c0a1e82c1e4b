"""Analysis → the syntax tree of `cluster.nix`: a function that yields a cluster for `mkCluster` (blueprint v1).

Every VM's System is a NixOS configuration of nixpkgs with Procurator's `modules/guest.nix`, given as `configuration`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from autonix.emit.applications import Application, applications
from autonix.emit.php import served_by_nginx
from autonix.emit.recipes import named_projects
from autonix.emit.services import Login, setup_of
from autonix.emit.wiring import Neighbour, Peer, Setting, environment, login_in, towards
from autonix.emit.words import dns_label, reasons
from autonix.explain import reason
from autonix.findings import Analysis, Confidence, Ecosystem
from autonix.nixast import (
    AttrSet,
    Binding,
    Formal,
    Inherit,
    Lambda,
    Let,
    Lines,
    ListOf,
    Node,
    Op,
    Pattern,
    Select,
    Str,
    Value,
    Var,
    bind,
    call,
    literal,
    text,
)

APPLICATION_MB: Final = 512
"""MiB of an application's VM by default; Java's heap takes twice that."""

_WEB: Final = 80
_PATH = re.compile(r"/[!-~]{0,1000}")


@dataclass(frozen=True, slots=True)
class ClusterText:
    """The tree, and sentences on what was seen and is not in it."""

    tree: Node
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What one repository brings to a cluster.

    `peers` are services by the names that its files use, `own` those of them that it brings itself; `neighbours`
    applications that its files may name. VMs may be called otherwise than in its files (`joint.py`).
    """

    analysis: Analysis
    running: tuple[Application, ...]
    peers: Mapping[str, Peer]
    own: tuple[str, ...]
    neighbours: Mapping[str, Neighbour]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wired:
    """An application's environment, the names that must be set by hand, and the applications that it speaks to."""

    settings: tuple[Setting, ...]
    absent: tuple[str, ...]
    connects: tuple[tuple[str, str], ...]


def part_of(analysis: Analysis) -> Part:
    """A repository alone, its VMs called as its files call them."""
    running, notes = applications(analysis, named_projects(analysis))
    peers = {
        service.name: Peer(service.name, service, setup[1])
        for service in analysis.services
        if (setup := setup_of(service.kind.value)) is not None
    }
    unknown = tuple(
        f"{service.name} ({reason(service.kind)}): autonix knows no NixOS module for {service.kind.value}"
        for service in analysis.services
        if service.name not in peers
    )
    return Part(analysis, running, peers, tuple(peers), neighbours_of(running), (*notes, *unknown))


def neighbours_of(running: Sequence[Application]) -> dict[str, Neighbour]:
    """Applications by the names of their VMs."""
    return {each.vm: Neighbour(each.vm, tuple(port.value.number for port in each.ports)) for each in running}


def cluster_tree(analysis: Analysis) -> ClusterText:
    """The whole of `cluster.nix`."""
    part = part_of(analysis)
    [(vms, notes)] = vms_of([part])
    arguments = Pattern(tuple(map(Formal, ("nixpkgs", "procurator", "system", "packages", "runtimes"))))
    body = AttrSet((bind("cluster", text(dns_label(analysis.root_name))), bind("vms", AttrSet(vms))))
    return ClusterText(Lambda(arguments, Let((guest(),), body)), (*part.notes, *notes))


def vms_of(parts: Sequence[Part]) -> list[tuple[tuple[Binding, ...], tuple[str, ...]]]:
    """Each part's VMs, and what in them must be set by hand; they speak of `packages` and `runtimes` of their part."""
    every = [(application, part) for part in parts for application in part.running]
    wired = {application.vm: _wired(application, part) for application, part in every}
    published = _published([application for application, _ in every])
    found = []
    for part in parts:
        vms = [_application_vm(each, wired[each.vm], part.peers, published) for each in part.running]
        for name in part.own:
            peer = part.peers[name]
            users = [each for each, of in every if any(of.peers[used].vm == peer.vm for used in _used(each, of.peers))]
            vms.append(_service_vm(peer, _logins(peer, [wired[each.vm].settings for each in users])))
        missing = [(each.vm, ", ".join(absent)) for each in part.running if (absent := wired[each.vm].absent)]
        notes = [f"{vm}: {absent} must be set by hand" for vm, absent in missing]
        mounts = [note for each in part.running for note in each.notes]
        found.append((tuple(vms), (*notes, *mounts)))
    return found


def guest() -> Binding:
    """`guest`: a NixOS module → the configuration of a VM."""
    module = Str((Var("procurator"), "/modules/guest.nix"))
    options = AttrSet((Inherit(("system",)), bind("modules", ListOf((module, Var("module"))))))
    body = call("nixpkgs.lib.nixosSystem", options)
    return bind("guest", Lambda("module", body), comment="A NixOS module as a microVM's System.")


def _used(application: Application, peers: Mapping[str, Peer]) -> list[str]:
    return [name for name in application.uses if name in peers]


def _wired(application: Application, part: Part) -> Wired:
    used = [part.peers[name] for name in _used(application, part.peers)]
    own = dns_label(part.analysis.root_name).replace("-", "_")
    settings, absent = environment(application.env, used, login=Login(own, own))
    others = {name: each for name, each in part.neighbours.items() if each.vm != application.vm}
    moved = [towards(each, others) for each in settings]
    connects = {place: setting.because for setting, place in moved if place is not None}
    return Wired(tuple(setting for setting, _ in moved), absent, tuple(connects.items()))


def _logins(peer: Peer, environments: Sequence[tuple[Setting, ...]]) -> tuple[Login, ...]:
    """Who logs in to a database: its own variables say it, or the addresses that applications have."""
    given = {each.value.name: each.value.default for each in peer.service.env if each.value.default}
    database = given.get("POSTGRES_DB") or given.get("MYSQL_DATABASE") or given.get("MARIADB_DATABASE")
    user = given.get("POSTGRES_USER") or given.get("MYSQL_USER") or given.get("MARIADB_USER")
    found = {Login(user or database or "", database or user or "")} if user or database else set()
    place = f"{peer.vm}:{peer.setup.port}"
    for settings in environments:
        users = {each.name.removesuffix("_USERNAME"): each.value for each in settings if "_USERNAME" in each.name}
        for each in settings:
            if place in each.value and (login := login_in(each.value)) is not None:
                found.add(replace(login, user=users.get(each.name.removesuffix("_URL"), login.user)))
    return tuple(sorted(found, key=lambda login: (login.database, login.user)))


def _published(running: Sequence[Application]) -> dict[tuple[str, int], int]:
    """The worker's port for (VM, port), where a file names it; the first to name one gets it."""
    found: dict[tuple[str, int], int] = {}
    for application in running:
        for port in application.ports:
            wanted = port.value.published
            if wanted is not None and 1 <= wanted <= 65535 and wanted not in found.values():
                found[application.vm, port.value.number] = wanted
    return found


def _application_vm(
    application: Application,
    wired: Wired,
    peers: Mapping[str, Peer],
    published: dict[tuple[str, int], int],
) -> Binding:
    used = [peers[name] for name in _used(application, peers)]
    memory = APPLICATION_MB * (2 if application.named.project.ecosystem is Ecosystem.JAVA else 1)
    env = AttrSet(tuple(Binding((each.name,), text(each.value), each.because) for each in wired.settings))
    network = _network(application, used, wired.connects, published)
    shown = tuple(each for each in (network, _health(application)) if each is not None)
    vm = AttrSet(
        (
            *_resources(cpu=1, memory_mb=memory, comment="A default; nothing here says how much it needs."),
            *shown,
            *((bind("dependsOn", literal([peer.vm for peer in used])),) if used else ()),
            *((bind("env", env),) if wired.settings else ()),
            bind("configuration", call("guest", _application_module(application))),
        )
    )
    return Binding(
        (application.vm,), vm, f"{application.named.project.manifest}, started by {application.start.because}"
    )


def _network(
    application: Application,
    used: list[Peer],
    connects: Sequence[tuple[str, str]],
    published: dict[tuple[str, int], int],
) -> Binding | None:
    entries: list[Binding] = []
    known = {
        f"{peer.vm}:{peer.setup.port}": f"{peer.vm}: {reasons(peer.service.evidence) or reason(peer.service.kind)}"
        for peer in used
    }
    known |= {place: f"{place.partition(':')[0]}: {because}" for place, because in connects if place not in known}
    if known:
        entries.append(bind("connect", literal(list(known)), comment="; ".join(known.values())))
    if application.ports:
        ports = [
            _port(each.value.number, published.get((application.vm, each.value.number))) for each in application.ports
        ]
        entries.append(bind("ports", literal(ports), comment=reasons(application.ports)))
    return bind("network", AttrSet(tuple(entries))) if entries else None


def _port(number: int, outside: int | None) -> dict[str, Value]:
    port: dict[str, Value] = {"name": f"tcp-{number}", "port": number}
    return port if outside is None else {**port, "publish": outside}


def _health(application: Application) -> Binding | None:
    """The project's own HTTP probe where it names one, else that a port which a file names takes connections."""
    first = application.ports[0] if application.ports else None
    for probe in application.health:
        port = probe.value.port or (first.value.number if first else None)
        path = probe.value.path or "/"
        if probe.value.kind == "http" and port is not None and _PATH.fullmatch(path):
            check = literal([{"type": "http", "port": port, "path": path}])
            return bind("health.checks", check, comment=reason(probe))
    if first is None or first.confidence is not Confidence.CERTAIN:
        return None  # a check of a port that nobody listens on would fail every rollout
    return bind("health.checks", literal([{"type": "tcp", "port": first.value.number}]), comment=reason(first))


def _application_module(application: Application) -> Node:
    named = application.named
    package: Node = Select(Var("packages"), (named.name,))
    ports = [each.value.number for each in application.ports]
    if named.recipe.served is not None:
        port = ports[0] if ports else _WEB
        options = served_by_nginx(
            application.vm,
            package,
            home=named.recipe.home,
            framework=named.recipe.served.value,
            php=named.recipe.run_tools[0],
            port=port,
        )
        return _module(options, [port])
    path: Node = ListOf((package,))
    if named.recipe.run_tools:
        path = Op("++", path, Select(Var("runtimes"), (named.name,)))
    directory = Str((package, f"/{named.recipe.home}")) if named.recipe.home else None
    service = AttrSet(
        (
            bind("wantedBy", literal(["multi-user.target"])),
            bind("wants", literal(["network-online.target"])),
            bind("after", literal(["network-online.target"])),
            bind("path", path),
            bind("script", _script(application), comment=application.start.because),
            bind(
                "serviceConfig",
                AttrSet(
                    (
                        bind("DynamicUser", Var("true")),
                        bind("StateDirectory", text(application.vm)),
                        *((bind("WorkingDirectory", directory),) if directory is not None else ()),
                        bind("Restart", text("always")),
                    )
                ),
            ),
        )
    )
    return _module((Binding(("systemd", "services", application.vm), service),), ports)


def _script(application: Application) -> Node:
    return Lines((f"export HOME=/var/lib/{application.vm}\n", *application.start.script.parts))


def _service_vm(peer: Peer, logins: tuple[Login, ...]) -> Binding:
    service, setup = peer.service, peer.setup
    found = setup_of(service.kind.value)
    module, options = (found[0], setup.options(service, logins)) if found else ("", ())
    kept = service.size.volume_mb if setup.mount else 0
    volume = AttrSet((bind("sizeMb", literal(kept)), bind("mount", text(setup.mount))))
    port: Value = {"name": dns_label(service.kind.value)[:15].strip("-"), "port": setup.port}
    settings = (Binding(tuple(module.split(".")), AttrSet(options)),)
    vm = AttrSet(
        (
            *_resources(
                cpu=service.size.cpu,
                memory_mb=service.size.memory_mb,
                comment=f"autonix' default for {service.kind.value}.",
            ),
            *((bind("volumes.data", volume),) if kept else ()),
            bind("network.ports", literal([port])),
            bind("health.checks", literal([{"type": "tcp", "port": setup.port}])),
            bind("configuration", call("guest", _module(settings, [setup.port]))),
        )
    )
    evidence = [f"{each.value}: {reason(each)}" for each in service.evidence[:3]] or [reason(service.kind)]
    return Binding((peer.vm,), vm, "\n".join(evidence))


def _resources(*, cpu: int, memory_mb: int, comment: str) -> tuple[Binding, ...]:
    return (bind("cpu", literal(cpu), comment=comment), bind("memoryMb", literal(memory_mb)))


def _module(entries: tuple[Binding, ...], ports: list[int]) -> Node:
    firewall = (bind("networking.firewall.allowedTCPPorts", literal(ports)),) if ports else ()
    pattern = Pattern((Formal("pkgs"),), is_open=True)
    return Lambda(pattern, AttrSet((*entries, *firewall)))
