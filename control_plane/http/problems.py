"""What a refused request is answered with (RFC 9457): which input, why, and the way out; it sends nothing."""

from pydantic import Field

from schema.canonical import canonical_bytes
from schema.errors import InvalidInput, ProcuratorError
from schema.names import WireModel, printable

MEDIA_TYPE = "application/problem+json"


class Problem(WireModel):
    """A problem detail. `type` names the kind for programs, `input` what of the request it is about (may be empty)."""

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    input: str = ""
    way_out: str = ""

    @property
    def body(self) -> bytes:
        """As it is sent."""
        return canonical_bytes(self.model_dump(mode="json", by_alias=True))


class Refused(Exception):
    """A request that is answered with `problem`. `headers` go with it."""

    def __init__(self, problem: Problem, **headers: str) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


KINDS: dict[str, tuple[int, str, str]] = {
    "invalid-input": (400, "The request is not valid", "/v1/openapi.json tells what is"),
    "unauthenticated": (401, "No valid credential", "send Authorization: Bearer with a token of `pcr token create`"),
    "permission-denied": (403, "The role does not allow this", "ask an admin for a token of another role"),
    "not-found": (404, "There is no such thing", "the list one level up names what there is"),
    "method-not-allowed": (405, "This resource is only read", "use GET or HEAD; changes go through `pcr`"),
    "conflict": (409, "It conflicts with what is there", "look at what is there first"),
    "stale": (409, "Something newer is known", "read again and repeat"),
    "too-large": (413, "The request is too large", "send a smaller one"),
    "misdirected": (421, "This host is not served here", "use the address, or add the name to [http] allowed_hosts"),
    "internal": (500, "A bug", "the log of the control plane has the story; please report it"),
    "unimplemented": (501, "This is not there", "another version of the control plane may have it"),
    "unavailable": (503, "Not possible now", "try again in a moment"),
    "deadline-exceeded": (504, "It took too long", "try again in a moment"),
}
"""By the error's code: status, title, and the way out where nothing better is known."""


def problem(code: str, detail: str, *, about: str = "", way_out: str = "") -> Problem:
    """A problem of a known kind; an unknown code is a bug."""
    status, title, usual = KINDS.get(code, KINDS["internal"])
    return Problem(
        type=f"urn:procurator:problem:{code}",
        title=title,
        status=status,
        detail=printable(detail),
        input=about,
        way_out=way_out or usual,
    )


def refusal(error: ProcuratorError) -> Refused:
    """What `error` is answered with."""
    found = problem(error.code, error.message)
    return Refused(found, **headers_of(found.status))


def headers_of(status: int) -> dict[str, str]:
    """What goes with a status by the protocol's rules; names with `_` for `-`."""
    match status:
        case 401:
            return {"www_authenticate": 'Bearer realm="procurator"'}
        case 503 | 504:
            return {"retry_after": "1"}
    return {}


def invalid(about: str, reason: str, *, way_out: str = "") -> Refused:
    """What is wrong with which input."""
    return Refused(problem(InvalidInput.code, f"{about}: {reason}", about=about, way_out=way_out))
