"""Servers that a framework's own settings name: Prisma's `provider`, Rails' `adapter`, Laravel's drivers."""

import re
from collections.abc import Iterator, Mapping, Sequence

from autonix.environment import raw_variables
from autonix.findings import Confidence, Finding, Project
from autonix.reader import Reader, folder
from autonix.services import CHOSEN_BY_DRIVER, Evidence

_DATASOURCE = re.compile(r"\bdatasource\s+\w+\s*\{([^{}]*)\}")
_PROVIDER = re.compile(r"""^[ \t]*provider\s*=\s*"([a-z]+)\"""", re.MULTILINE)
_PROVIDERS: Mapping[str, str] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mongodb": "mongodb",
    "sqlserver": "mssql",
}
_ADAPTERS: Mapping[str, str] = {
    "postgresql": "postgresql",
    "postgis": "postgresql",
    "mysql2": "mysql",
    "trilogy": "mysql",
    "sqlserver": "mssql",
}
_LARAVEL: Mapping[str, str] = {
    "pgsql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "sqlsrv": "mssql",
    "mongodb": "mongodb",
    "redis": "redis",
    "memcached": "memcached",
}
_DRIVERS = frozenset(
    ("DB_CONNECTION", "CACHE_STORE", "CACHE_DRIVER", "QUEUE_CONNECTION", "SESSION_DRIVER", "BROADCAST_CONNECTION")
)
_ENVIRONMENTS = ("production", "default", "development")


def schema_evidence(reader: Reader, projects: Sequence[Project]) -> Iterator[Evidence]:
    """What each schema of the tree says, for the project that it lies in."""
    for path in reader.named("*.prisma"):
        text = reader.text(path) or ""
        for source in _DATASOURCE.finditer(text):
            if (provider := _PROVIDER.search(source[1])) and provider[1] in _PROVIDERS:
                line = text.count("\n", 0, source.start(1) + provider.start(1)) + 1
                seen = Finding(f"the Prisma provider {provider[1]}", path, line, "services.prisma", Confidence.CERTAIN)
                yield Evidence(_PROVIDERS[provider[1]], seen, _owner(path, projects), declared=True)
    for path in reader.named("database.yml"):
        document = reader.yaml(path) if path.endswith("config/database.yml") else None
        for name in _ENVIRONMENTS if document is not None else ():
            if document is not None and (adapter := document.text(name, "adapter")) in _ADAPTERS:
                words = f"the Rails adapter {adapter}"
                seen = document.finding(words, name, "adapter", rule="services.rails")
                yield Evidence(_ADAPTERS[adapter], seen, _owner(path, projects), declared=True)
                break


def driver_evidence(reader: Reader, projects: Sequence[Project]) -> Iterator[Evidence]:
    """Which servers an example of Laravel's .env chooses among those that it has drivers for."""
    homes = {project.path for project in projects if any(each.value == "laravel" for each in project.frameworks)}
    for path, line, name, value in raw_variables(reader):
        kind = _LARAVEL.get(value.strip().lower())
        if folder(path) in homes and name in _DRIVERS and kind is not None:
            seen = Finding(f"Laravel's driver {value} in {name}", path, line, CHOSEN_BY_DRIVER, Confidence.LIKELY)
            yield Evidence(kind, seen, folder(path), declared=True)


def _owner(path: str, projects: Sequence[Project]) -> str | None:
    """The deepest project whose directory holds the file."""
    holding = [
        project.path for project in projects if project.path == "." or f"{folder(path)}/".startswith(f"{project.path}/")
    ]
    return max(holding, key=len, default=None)
