"""An application's environment, with the addresses of the services it uses put in; no secret is ever written.

A variable is taken where a file gives it a value; an address of a service in it becomes the VM's, without a password
(`services.OPEN_TO_CONNECT`). A known name without a value (`DATABASE_URL`) gets the service's address where there is
exactly one of that kind.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from autonix.emit.services import Login, Setup
from autonix.explain import reason
from autonix.findings import Finding, Service, Variable
from autonix.mapping.services import kind_of_scheme

OF_THE_IMAGE = frozenset(
    (
        *("HOME", "PATH", "USER", "SHELL", "PWD", "TERM", "HOSTNAME", "LD_LIBRARY_PATH", "DEBIAN_FRONTEND"),
        *("PYTHONPATH", "VIRTUAL_ENV", "NODE_PATH", "GOPATH", "GEM_HOME", "BUNDLE_PATH", "JAVA_HOME", "MIX_HOME"),
    )
)
"""Variables that are about the file system of a container's image; a VM has another one."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME_OF_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HERE = frozenset(("localhost", "127.0.0.1", "0.0.0.0", "host.docker.internal"))  # noqa: S104 - read, not bound


@dataclass(frozen=True, slots=True)
class Peer:
    """A service that an application uses, as a VM of the cluster."""

    vm: str
    service: Service
    setup: Setup


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An application that another one may speak to, as a VM, and the ports that it is known to listen on."""

    vm: str
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable of the environment, and why it has this value."""

    name: str
    value: str
    because: str


def environment(
    variables: Iterable[Finding[Variable]], peers: Sequence[Peer], *, login: Login
) -> tuple[tuple[Setting, ...], tuple[str, ...]]:
    """The settings in order of their names, and the names of those that a person must provide.

    `login` is who a known name without a value logs in as. The first finding of a name with a value counts.
    """
    settings: dict[str, Setting] = {}
    missing: dict[str, None] = {}
    for finding in variables:
        variable = finding.value
        if not _NAME.fullmatch(variable.name) or variable.name in settings or variable.name in OF_THE_IMAGE:
            continue
        value = _value(variable, peers, login)
        if value is None:
            missing[variable.name] = None
        else:
            settings[variable.name] = Setting(variable.name, value, reason(finding))
    return (
        tuple(settings[name] for name in sorted(settings)),
        tuple(sorted(name for name in missing if name not in settings)),
    )


def host_in(value: str | None) -> str | None:
    """The host that a URL names, or that a variable is (`db`); None for a text that is neither."""
    if value is None or _NAME_OF_HOST.fullmatch(value):
        return value
    url = _split(value)
    return url.hostname if url is not None else None


def towards(setting: Setting, neighbours: Mapping[str, Neighbour]) -> tuple[Setting, str | None]:
    """A URL that leads to an application leads to its VM; and the `vm:port` that it then speaks to."""
    url = _split(setting.value)
    neighbour = neighbours.get(url.hostname or "") if url is not None else None
    if url is None or neighbour is None or url.password is not None:
        return setting, None
    port = url.port or next(iter(neighbour.ports), None)
    offered = port is not None and (not neighbour.ports or port in neighbour.ports)
    user = f"{_user(url)}@" if _user(url) else ""
    place = f"{user}{neighbour.vm}" + (f":{url.port}" if url.port else "")
    moved = Setting(setting.name, url._replace(netloc=place).geturl(), setting.because)
    return moved, f"{neighbour.vm}:{port}" if offered else None


def login_in(value: str) -> Login | None:
    """Who a URL logs in as, and to which database."""
    url = _split(_parted(value)[1])
    if url is None or not url.path.strip("/"):
        return None
    database = url.path.strip("/").partition("/")[0]
    return Login(user=_user(url) or database, database=database)


def _value(variable: Variable, peers: Sequence[Peer], login: Login) -> str | None:
    given = variable.default
    if not given or "${" in given:
        return _by_name(variable.name, peers, login)
    driver, address = _parted(given)
    url = _split(address)
    if url is not None:
        peer = _peer_of(url, peers)
        if peer is not None:
            return driver + _address(url, peer)
        if url.password is not None:
            return None
    if variable.secret:
        return _by_name(variable.name, peers, login)
    host = next((peer for peer in peers if given == peer.service.name), None)
    if host is not None:
        return host.vm
    if given in _HERE and variable.name.upper().endswith("HOST"):
        near = [peer for peer in peers if _speaks_of(variable.name, peer)]
        return near[0].vm if len(near) == 1 else given
    return given


def _by_name(name: str, peers: Sequence[Peer], login: Login) -> str | None:
    found = [peer for peer in peers if name in peer.setup.variables]
    if len(found) != 1:
        return None
    peer = found[0]
    address = f"{peer.vm}:{peer.setup.port}"
    match peer.service.kind.value:
        case "postgresql":
            return f"postgresql://{login.user}@{address}/{login.database}"
        case "mysql" | "mariadb":
            return f"mysql://{login.user}@{address}/{login.database}"
        case "redis" | "valkey":
            return f"redis://{address}/0"
        case "mongodb":
            return f"mongodb://{address}/{login.database}"
        case "rabbitmq":
            return f"amqp://{address}/"
        case "memcached":
            return address
        case _:
            return f"http://{address}"


def _parted(value: str) -> tuple[str, str]:
    """What Java puts before a URL (`jdbc:`), and the URL."""
    driver = next((each for each in ("jdbc:", "r2dbc:") if value.startswith(each)), "")
    return driver, value.removeprefix(driver)


def _split(value: str) -> SplitResult | None:
    if "://" not in value:
        return None
    try:
        url = urlsplit(value)
        _ = url.hostname, url.port
    except ValueError:
        return None
    return url if url.scheme and url.hostname else None


def _peer_of(url: SplitResult, peers: Sequence[Peer]) -> Peer | None:
    """The service at a URL: its own name, or this machine and a scheme or port that only one of them has."""
    for peer in peers:
        if url.hostname == peer.service.name.lower():
            return peer
    if url.hostname not in _HERE:
        return None
    kind = kind_of_scheme(url.scheme)
    near = [peer for peer in peers if kind is not None and peer.service.kind.value == kind.kind]
    near = near or [peer for peer in peers if url.port == peer.setup.port]
    return near[0] if len(near) == 1 else None


def _address(url: SplitResult, peer: Peer) -> str:
    user = f"{_user(url)}@" if _user(url) else ""
    return url._replace(netloc=f"{user}{peer.vm}:{peer.setup.port}").geturl()


def _user(url: SplitResult) -> str:
    return url.username or ""


def _speaks_of(name: str, peer: Peer) -> bool:
    words = {"postgresql": ("PG", "POSTGRES", "DB", "DATABASE"), "mysql": ("MYSQL", "DB", "DATABASE")}
    kind = peer.service.kind.value
    name = name.upper().removeprefix("SPRING_").removeprefix("DATA_")
    return name.startswith(words.get(kind, (kind.upper(),)))
