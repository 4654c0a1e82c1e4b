"""What Dockerfiles and Compose files have in common: variables in texts, ports, health commands; it reads no file."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from autonix.findings import Port, Probe, Variable

_REFERENCE = re.compile(
    r"(?<!\$)\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>[^{}]*)\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))"
)
_SECRET = re.compile(
    r"(^|_)(PASS(WORD|WD)?|PWD|SECRETS?|TOKEN|KEY|CREDENTIALS?|PRIVATE|SALT|DSN|APIKEY)(_|$)", re.IGNORECASE
)
_PUBLIC = re.compile(r"(^|_)PUBLIC(_|$)|_(HOST|PORT|USER|PATH|FILE|ID|URL_PREFIX)$", re.IGNORECASE)
_PORT = re.compile(
    r"(?:(?:\[[^]]*\]|[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<host>[0-9]*)(?:-[0-9]+)?:)?(?P<port>[0-9]+)(?:/(?P<protocol>tcp|udp))?"
)
_LOCAL = {"localhost", "127.0.0.1", "0.0.0.0", "[::1]", "::1"}  # noqa: S104 - recognised, never bound
_FETCHERS = {"curl", "wget"}
LONGEST = 4000


def expanded(text: str, known: Mapping[str, str]) -> str:
    """`text` with `$NAME`, `${NAME}` and `${NAME:-default}` replaced where a value is known; others stay."""

    def value(match: re.Match[str]) -> str:
        name, rest = match["braced"] or match["plain"], match["rest"] or ""
        if name in known:
            return known[name]
        return rest.removeprefix(":")[1:] if rest.startswith((":-", "-")) else match[0]

    return _REFERENCE.sub(value, text) if len(text) <= LONGEST else text


def variable(name: str, value: str | None) -> Variable:
    """An environment variable; no value is kept of a secret, a URL with a password, or one that names others."""
    secret = bool(_SECRET.search(name)) and not _PUBLIC.search(name)
    if value is not None and not secret:
        secret = _has_password(value)
    unknown = value is None or len(value) > LONGEST or _REFERENCE.search(value) is not None
    return Variable(name, None if secret or unknown else value, secret)


def _has_password(value: str) -> bool:
    if "://" not in value:
        return False
    try:
        return bool(urlsplit(value).password)
    except ValueError:
        return "@" in value


def port(text: str) -> Port | None:
    """A Compose or EXPOSE port in its short form (`127.0.0.1:8080:80/tcp`); None where it is none or a range."""
    match = _PORT.fullmatch(text.strip())
    if match is None or not 1 <= int(match["port"]) <= 65535:
        return None
    host = int(match["host"]) if match["host"] else None
    return Port(
        int(match["port"]),
        "udp" if match["protocol"] == "udp" else "tcp",
        host if host is not None and 1 <= host <= 65535 else None,
    )


def words_of(text: str) -> tuple[tuple[str, ...], bool]:
    """The argv of an exec form (`["a", "b"]`), or the one shell text of a shell form and True."""
    if text.startswith("["):
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(value), False
    return (text,), True


def probe(argv: tuple[str, ...], *, shell: bool) -> Probe:
    """A health command as a probe: curl or wget of a URL of this machine is an http check, the rest a command."""
    for word in _words(" ".join(argv)) if _fetches(argv) else ():
        if not word.startswith(("http://", "https://")):
            continue
        try:
            url = urlsplit(word)
            number = url.port or (443 if url.scheme == "https" else 80)
        except ValueError:
            continue
        if url.hostname in _LOCAL and url.scheme == "http":
            return Probe("http", number, (url.path or "/") + (f"?{url.query}" if url.query else ""))
    return Probe("command", command=argv, shell=shell)


def _fetches(argv: tuple[str, ...]) -> bool:
    return any(word.rpartition("/")[2] in _FETCHERS for word in _words(" ".join(argv)))


def _words(text: str) -> Iterator[str]:
    if len(text) > LONGEST:
        return
    try:
        yield from shlex.split(text)
    except ValueError:
        yield from text.split()
