"""Services that NixOS has a module for, and how each is set up as a VM; which of them run is `cluster.py`'s."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from autonix.explain import reason
from autonix.findings import Service
from autonix.nixast import AttrSet, Binding, Lines, ListOf, Node, Select, Var, bind, call, literal, names, text

POSTGRESQL: Final = ("14", "15", "16", "17", "18")
"""Major versions that nixpkgs has; their data directories are not compatible, so no other is put in one's place."""

OPEN_TO_CONNECT: Final = "No password: only the VMs whose `connect` names this one reach it."


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a database that an application's URL names."""

    user: str
    database: str


@dataclass(frozen=True, slots=True)
class Setup:
    """How a kind of service becomes a VM: its port, where its data lies, and the options of its NixOS module.

    `variables` are the names under which applications look for its URL.
    """

    port: int
    mount: str
    options: Callable[[Service, tuple[Login, ...]], tuple[Binding, ...]]
    variables: tuple[str, ...] = ()


def _major(service: Service) -> str:
    version = service.version.value if service.version else ""
    return "".join(character if character.isdigit() else " " for character in version).split(" ")[0]


def _asked(service: Service) -> str:
    """A comment on the version that is asked for, where nixpkgs has one of its own."""
    if service.version is None:
        return ""
    return f"{reason(service.version)} asks for {service.version.value}; this is what nixpkgs has."


def _postgresql(service: Service, logins: tuple[Login, ...]) -> tuple[Binding, ...]:
    package = None
    if service.version is not None and _major(service) in POSTGRESQL:
        attribute = Select(Var("pkgs"), (f"postgresql_{_major(service)}",))
        package = bind("package", attribute, comment=reason(service.version))
    owners = {login.database: login.user for login in logins}
    users = sorted({login.user for login in logins} - {"postgres"})
    ensured: list[Node] = []
    for user in users:
        rights = bind("ensureClauses.superuser", Var("true"), comment="As the image's POSTGRES_USER is.")
        if owners.get(user) == user:
            rights = bind("ensureDBOwnership", Var("true"))
        ensured.append(AttrSet((bind("name", text(user)), rights)))
    return (
        bind("enable", Var("true"), comment="" if package else _asked(service)),
        *((package,) if package else ()),
        bind("enableTCPIP", Var("true")),
        bind("authentication", Lines(("host all all 0.0.0.0/0 trust\n",)), comment=OPEN_TO_CONNECT),
        *((bind("ensureDatabases", literal(sorted(owners))),) if owners else ()),
        *((bind("ensureUsers", _list(ensured)),) if ensured else ()),
    )


def _redis(service: Service, _logins: tuple[Login, ...]) -> tuple[Binding, ...]:
    server = AttrSet(
        (
            bind("enable", Var("true")),
            bind("bind", text("0.0.0.0")),  # noqa: S104 - of a VM that only `connect` opens
            bind("port", literal(6379)),
            bind("settings.protected-mode", text("no"), comment=OPEN_TO_CONNECT),
        )
    )
    package = names("pkgs.valkey" if service.kind.value == "valkey" else "pkgs.redis")
    return (bind("package", package, comment=_asked(service)), Binding(("servers", ""), server))


def _mysql(package: str) -> Callable[[Service, tuple[Login, ...]], tuple[Binding, ...]]:
    def options(service: Service, logins: tuple[Login, ...]) -> tuple[Binding, ...]:
        databases = sorted({login.database for login in logins})
        return (
            bind("enable", Var("true")),
            bind("package", names(f"pkgs.{package}"), comment=_asked(service)),
            bind("settings.mysqld.bind-address", text("0.0.0.0")),  # noqa: S104 - of a VM that only `connect` opens
            *((bind("ensureDatabases", literal(databases)),) if databases else ()),
            *((bind("initialScript", _grants(logins), comment=OPEN_TO_CONNECT),) if logins else ()),
        )

    return options


def _grants(logins: tuple[Login, ...]) -> Node:
    """SQL for users without a password; a name that SQL would have to quote gets none."""
    plain = [
        each for each in logins if all(re.fullmatch(r"[A-Za-z0-9_]{1,32}", name) for name in (each.user, each.database))
    ]
    rows = [
        f"CREATE USER IF NOT EXISTS '{each.user}'@'%';\n"
        f"GRANT ALL PRIVILEGES ON {each.database}.* TO '{each.user}'@'%';\n"
        for each in plain
        if each.user != "root"
    ]
    return call("pkgs.writeText", text("logins.sql"), Lines(("".join(rows),)))


def _plain(*extra: Binding) -> Callable[[Service, tuple[Login, ...]], tuple[Binding, ...]]:
    return lambda service, _logins: (bind("enable", Var("true"), comment=_asked(service)), *extra)


def _listening(option: str) -> Binding:
    return bind(option, text("0.0.0.0"))  # noqa: S104 - of a VM that only `connect` opens


def _list(items: list[Node]) -> Node:
    return ListOf(tuple(items))


_ANY_LOGIN: Final = bind("configItems.loopback_users", text("none"), comment=OPEN_TO_CONNECT)

SETUPS: Final[Mapping[str, tuple[str, Setup]]] = {
    "postgresql": (
        "services.postgresql",
        Setup(
            5432,
            "/var/lib/postgresql",
            _postgresql,
            variables=("DATABASE_URL", "POSTGRES_URL", "POSTGRESQL_URL", "DB_URL", "PG_URL"),
        ),
    ),
    "redis": (
        "services.redis",
        Setup(6379, "/var/lib/redis", _redis, variables=("REDIS_URL", "CACHE_URL")),
    ),
    "valkey": ("services.redis", Setup(6379, "/var/lib/redis", _redis, variables=("VALKEY_URL", "REDIS_URL"))),
    "mysql": (
        "services.mysql",
        Setup(3306, "/var/lib/mysql", _mysql("mysql84"), variables=("DATABASE_URL",)),
    ),
    "mariadb": (
        "services.mysql",
        Setup(3306, "/var/lib/mysql", _mysql("mariadb"), variables=("DATABASE_URL",)),
    ),
    "mongodb": (
        "services.mongodb",
        Setup(
            27017,
            "/var/db/mongodb",
            _plain(_listening("bind_ip")),
            variables=("MONGODB_URI", "MONGO_URL", "MONGODB_URL", "MONGO_URI"),
        ),
    ),
    "rabbitmq": (
        "services.rabbitmq",
        Setup(
            5672,
            "/var/lib/rabbitmq",
            _plain(_listening("listenAddress"), _ANY_LOGIN),
            variables=("RABBITMQ_URL", "AMQP_URL", "CLOUDAMQP_URL", "CELERY_BROKER_URL"),
        ),
    ),
    "elasticsearch": (
        "services.elasticsearch",
        Setup(
            9200,
            "/var/lib/elasticsearch",
            _plain(_listening("listenAddress")),
            variables=("ELASTICSEARCH_URL", "ELASTIC_URL"),
        ),
    ),
    "memcached": (
        "services.memcached",
        Setup(11211, "", _plain(_listening("listen")), variables=("MEMCACHE_SERVERS",)),
    ),
    "nginx": ("services.nginx", Setup(80, "", _plain())),
}
"""By the kind that the analysis names: the NixOS module, and how it is set up."""


def setup_of(kind: str) -> tuple[str, Setup] | None:
    """The module and setup for a kind of `mapping.services`, None where autonix knows none."""
    return SETUPS.get(kind)
