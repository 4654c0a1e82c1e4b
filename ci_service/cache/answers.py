"""What the cache answers: status, headers and a small body, and how a refusal looks; it streams no files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from schema.errors import (
    BadSignature,
    Conflict,
    DeadlineExceeded,
    HashMismatch,
    InvalidInput,
    NotFound,
    ProcuratorError,
    TooLarge,
    Unauthenticated,
    Unimplemented,
)

STATUS: Mapping[type[ProcuratorError], int] = {
    InvalidInput: 400,
    HashMismatch: 400,
    BadSignature: 400,
    Unauthenticated: 401,
    NotFound: 404,
    Unimplemented: 405,
    Conflict: 409,
    TooLarge: 413,
    DeadlineExceeded: 400,
}
"""No expected refusal is a 5xx or 408: nix would try the PUT again, and 2.8 and 2.26 then send no body and hang."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with a body that fits in memory."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def plain(status: int, text: str) -> Answer:
    """One line of text."""
    return Answer(status, {"content-type": "text/plain; charset=utf-8"}, f"{text}\n".encode())


def refusal(error: ProcuratorError, *, accept: str = "") -> Answer:
    """A refusal as JSON for who asks for it, else as the one line that nix shows to its user."""
    headers = {"cache-control": "no-store"}
    match error:
        case Unauthenticated():
            headers["www-authenticate"] = 'Basic realm="procurator-cache"'
        case Unimplemented():
            headers["allow"] = "GET, HEAD, PUT"
        case DeadlineExceeded():
            headers["connection"] = "close"
    if "application/json" in accept:
        body = json.dumps({"error": {"code": error.code, "message": error.message}}).encode() + b"\n"
        headers["content-type"] = "application/json"
    else:
        body = f"{error.code}: {error.message}\n".encode(errors="replace")
        headers["content-type"] = "text/plain; charset=utf-8"
    return Answer(STATUS.get(type(error), 500), headers, body)
