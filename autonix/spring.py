"""Spring Boot's application.yml and application.properties: port, servers and their addresses; profiles do not count.

`${NAME:default}` is its default; a setting with a placeholder that has none says nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from autonix.findings import Confidence, Finding, Port, Project, Variable
from autonix.formats.document import Document, Key
from autonix.formats.properties import parse_properties
from autonix.reader import Reader, beside
from autonix.services import Evidence, kind_of_url

FILES: Final = ("application.properties", "application.yml", "application.yaml")
_PLACES: Final = ("src/main/resources", "src/main/resources/config")
_ADDRESSES: Final = (
    *("spring.datasource.url", "spring.r2dbc.url", "spring.data.mongodb.uri", "spring.mongodb.uri"),
    *("spring.data.redis.url", "spring.redis.url", "spring.rabbitmq.addresses"),
)
"""Settings that are a URL, whose scheme says of what."""
_HOSTS: Final[Mapping[str, str]] = {
    "spring.data.redis.host": "redis",
    "spring.redis.host": "redis",
    "spring.rabbitmq.host": "rabbitmq",
    "spring.data.mongodb.host": "mongodb",
    "spring.elasticsearch.uris": "elasticsearch",
    "spring.kafka.bootstrap-servers": "kafka",
}
"""Settings that say where a server of a kind is."""
_USERS: Final = ("spring.datasource.username",)
_PROFILES: Final = ("spring.config.activate.on-profile", "spring.profiles")
_PLACEHOLDER = re.compile(r"\$\{[^{}:]{1,200}(?::(?P<default>[^{}]{0,1000}))?\}")
_DEEPEST: Final = 12


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting by its dotted name, and where it is."""

    name: str
    value: str
    file: str
    line: int


def with_settings(reader: Reader, projects: Sequence[Project]) -> tuple[Project, ...]:
    """Each project of Spring Boot with the port and the variables that stand for its settings."""
    return tuple(_with(project, settings_of(reader, project)) for project in projects)


def spring_evidence(reader: Reader, projects: Sequence[Project]) -> Iterator[Evidence]:
    """The servers that the settings name."""
    for project in projects:
        for setting in settings_of(reader, project).values():
            kind = kind_of_url(_plain(setting.value)) if setting.name in _ADDRESSES else _HOSTS.get(setting.name)
            if kind is not None:
                words = f"the setting {setting.name}"
                seen = Finding(words, setting.file, setting.line, "services.spring", Confidence.LIKELY)
                yield Evidence(kind, seen, project.path, declared=True)


def settings_of(reader: Reader, project: Project) -> dict[str, Setting]:
    """By dotted name, as far as they are literal; nothing where the project is not one of Spring Boot."""
    if not any(each.value == "spring-boot" for each in project.frameworks):
        return {}
    found: dict[str, Setting] = {}
    for place in _PLACES:
        # What .properties says goes before what YAML says.
        for name in reversed(FILES):
            for document in _documents(reader, beside(project.path, f"{place}/{name}")):
                settings = dict(_flat(document, (), document.value, 0))
                if not any(profile in settings for profile in _PROFILES):
                    found |= settings
    return {name: replace(each, value=value) for name, each in found.items() if (value := _literal(each.value))}


def _documents(reader: Reader, path: str) -> tuple[Document, ...]:
    if not path.endswith(".properties"):
        return reader.yamls(path)
    text = reader.text(path)
    return () if text is None or "\n#---" in text else (parse_properties(path, text),)


def _flat(document: Document, keys: tuple[Key, ...], value: Any, depth: int) -> Iterator[tuple[str, Setting]]:
    if isinstance(value, dict) and depth < _DEEPEST:
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _flat(document, (*keys, key), inner, depth + 1)
    elif isinstance(value, str | int | float) and keys:
        name = ".".join(map(str, keys))
        yield name, Setting(name, str(value), document.path, document.line(*keys))


def _literal(value: str) -> str:
    """The value with the defaults of its placeholders; empty where one has none."""
    for _ in range(3):
        if any(match["default"] is None for match in _PLACEHOLDER.finditer(value)):
            return ""
        value = _PLACEHOLDER.sub(lambda match: match["default"] or "", value)
    return "" if "${" in value else value.strip()


def _plain(value: str) -> str:
    return value.removeprefix("r2dbc:").removeprefix("jdbc:")


def _with(project: Project, settings: Mapping[str, Setting]) -> Project:
    if not settings:
        return project
    port, env = settings.get("server.port"), []
    for setting in settings.values():
        if setting.name in (*_ADDRESSES, *_HOSTS, *_USERS):
            # Spring reads it from this variable before it looks into its files.
            variable = Variable(setting.name.upper().replace(".", "_").replace("-", ""), setting.value)
            env.append(Finding(variable, setting.file, setting.line, "java.spring.setting"))
    number = int(port.value) if port is not None and re.fullmatch(r"[0-9]{1,5}", port.value) else 0
    listens = (Finding(Port(number), port.file, port.line, "java.spring.server-port"),) if port and number else ()
    return replace(project, ports=project.ports or listens, env=(*project.env, *env))
