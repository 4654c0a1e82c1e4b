"""The two ends of a CGI call of `git http-backend`: the environment it gets and the headers it answers with.

RFC 3875 and git-http-backend(1); it starts no process. Everything that a client can choose is allow-listed here, and
git itself is configured only through this environment, never through a file of the machine.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schema.errors import InvalidInput, Unavailable

MAX_HEAD = 16 * 1024
"""Bytes that the header of a CGI answer may have."""

_SERVICES = frozenset({"git-upload-pack", "git-receive-pack"})
_PROTOCOL = re.compile(r"version=[0-2]")
_FORWARDED = frozenset({"content-type", "cache-control", "expires", "pragma", "content-length"})
_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, slots=True)
class GitLimits:
    """What one request may cost: bytes of a pushed pack, and threads and MiB of packing."""

    max_push_bytes: int
    pack_threads: int = 1
    pack_window_mb: int = 128


@dataclass(frozen=True, slots=True)
class CgiRequest:
    """One request of a git client, checked."""

    repository: str
    service: str
    """`git-upload-pack` (clone, fetch) or `git-receive-pack` (push)."""
    method: str
    is_advertisement: bool
    content_type: str = ""
    content_length: int | None = None
    content_encoding: str = ""
    protocol: str = ""
    client: str = ""

    @property
    def is_push(self) -> bool:
        """Whether this request can change refs."""
        return self.service == "git-receive-pack" and not self.is_advertisement


@dataclass(frozen=True, slots=True)
class CgiHead:
    """The status and headers of an answer, as they go to the client."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


def cgi_request(
    *, repository: str, service: str, method: str, query: str, headers: Mapping[str, str], client: str
) -> CgiRequest:
    """The request that a path, method and headers (lower-case names) describe.

    Raises InvalidInput for everything that is not one of the four requests of the smart protocol.
    """
    if service == "info/refs":
        match = re.fullmatch(r"service=([a-z-]+)", query)
        if method != "GET" or match is None or match[1] not in _SERVICES:
            raise InvalidInput("only git's smart protocol is served here; use git 1.6.6 or newer")
        wanted, is_advertisement = match[1], True
    else:
        wanted, is_advertisement = service, False
        if method != "POST" or headers.get("content-type") != f"application/x-{wanted}-request":
            raise InvalidInput(f"{wanted} takes a POST of application/x-{wanted}-request")
    length = headers.get("content-length")
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise InvalidInput("Content-Length is not a number")
    encoding = headers.get("content-encoding", "")
    if encoding and encoding not in _ENCODINGS:
        raise InvalidInput("the body must be sent plain or by gzip")
    protocol = headers.get("git-protocol", "")
    return CgiRequest(
        repository=repository,
        service=wanted,
        method=method,
        is_advertisement=is_advertisement,
        content_type="" if is_advertisement else headers["content-type"],
        content_length=None if is_advertisement or length is None else int(length),
        content_encoding="" if is_advertisement else encoding,
        protocol=protocol if _PROTOCOL.fullmatch(protocol) else "",
        client=client if re.fullmatch(r"[0-9a-fA-F.:]{1,45}", client) else "",
    )


def git_config(*, hooks: str, repository: str, limits: GitLimits) -> tuple[tuple[str, str], ...]:
    """The whole git configuration of a server-side git: nothing of the machine or of the client adds to it.

    `safe.directory` names the repository twice: git before 2.46 compares the word that it was called with, which in
    `git http-backend` is a dot.
    """
    single = {
        "core.hooksPath": hooks,
        "core.fsync": "committed,reference",
        "core.fsyncMethod": "batch",
        "core.fsmonitor": "false",
        "protocol.allow": "never",
        "transfer.fsckObjects": "true",
        "receive.fsckObjects": "true",
        "receive.maxInputSize": str(limits.max_push_bytes),
        "receive.autogc": "false",
        "gc.auto": "0",
        "http.receivepack": "true",
        "http.uploadpack": "true",
        "http.getanyfile": "false",
        "uploadpack.allowFilter": "true",
        "pack.threads": str(limits.pack_threads),
        "pack.windowMemory": f"{limits.pack_window_mb}m",
        "core.deltaBaseCacheLimit": f"{limits.pack_window_mb}m",
    }
    return (*single.items(), ("safe.directory", repository), ("safe.directory", "."))


def git_environment(config: Sequence[tuple[str, str]], *, path: str, home: str) -> dict[str, str]:
    """An environment in which git reads `config` and no other file than the repository's own."""
    env = {
        "PATH": path,
        "HOME": home,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    for index, (key, value) in enumerate(config):
        env[f"GIT_CONFIG_KEY_{index}"] = key
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    return env


def cgi_environment(request: CgiRequest, *, root: str, page: str) -> dict[str, str]:
    """The CGI variables of `request`; `root` holds the repositories, `page` is what the hook tells the pusher."""
    suffix = "info/refs" if request.is_advertisement else request.service
    env = {
        "GIT_PROJECT_ROOT": root,
        "GIT_HTTP_EXPORT_ALL": "1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": f"/{request.repository}.git/{suffix}",
        "QUERY_STRING": f"service={request.service}" if request.is_advertisement else "",
        "CONTENT_TYPE": request.content_type,
        "REMOTE_ADDR": request.client,
        "PROCURATOR_PAGE": page,
    }
    if request.content_length is not None:
        env["CONTENT_LENGTH"] = str(request.content_length)
    if request.content_encoding:
        env["HTTP_CONTENT_ENCODING"] = request.content_encoding
    if request.protocol:
        env["GIT_PROTOCOL"] = request.protocol
    return env


def split_head(received: bytes) -> tuple[CgiHead, bytes] | None:
    """The parsed header and the beginning of the body, or None while the header is not complete.

    Raises Unavailable when what git answered is not a CGI header.
    """
    end = re.search(rb"\r?\n\r?\n", received[:MAX_HEAD])
    if end is None:
        if len(received) >= MAX_HEAD:
            raise Unavailable("git http-backend answered without a header")
        return None
    status = 200
    headers: list[tuple[bytes, bytes]] = []
    for line in received[: end.start()].splitlines():
        name, colon, value = line.partition(b":")
        key = name.strip().lower().decode("ascii", "replace")
        if not colon:
            raise Unavailable("git http-backend answered with a malformed header")
        if key == "status" and (match := re.match(rb"([1-5][0-9]{2})\b", value.strip())):
            status = int(match[1])
        elif key in _FORWARDED:
            headers.append((key.encode(), value.strip()))
    return CgiHead(status=status, headers=tuple(headers)), received[end.end() :]
