"""The errors that cross every border of Procurator, each with a stable code; it does not translate them to a wire."""

from collections.abc import Sequence
from typing import ClassVar


class ProcuratorError(Exception):
    """An expected failure: what was wrong with which input, and the way out.

    `code` is what travels on the wire and in JSON; `transient` says whether the same call may succeed later.
    """

    code: ClassVar[str] = "internal"
    transient: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __eq__(self, other: object) -> bool:
        """Two errors are the same when class and message are: tests compare what crossed a wire."""
        return type(self) is type(other) and isinstance(other, ProcuratorError) and self.message == other.message

    __hash__ = Exception.__hash__


class InvalidInput(ProcuratorError):
    """The input itself is wrong; sending it again will not help."""

    code = "invalid-input"


class NotFound(ProcuratorError):
    """Nothing of that name exists."""

    code = "not-found"


class Conflict(ProcuratorError):
    """The same number or name already stands for something else."""

    code = "conflict"


class Stale(ProcuratorError):
    """A newer generation, revision or epoch is already known."""

    code = "stale"


class HashMismatch(ProcuratorError):
    """A hash does not match the content; the message names the right one."""

    code = "hash-mismatch"


class BadSignature(ProcuratorError):
    """A signature is missing, malformed, by an unknown key, or wrong; the message says which."""

    code = "bad-signature"


class WrongOrigin(ProcuratorError):
    """A realm tracks one origin, and this is another."""

    code = "wrong-origin"


class PermissionDenied(ProcuratorError):
    """The session's role does not allow the call."""

    code = "permission-denied"


class Unauthenticated(ProcuratorError):
    """No such credential, or it was revoked or has expired."""

    code = "unauthenticated"


class Unimplemented(ProcuratorError):
    """The other side does not have this operation, usually because it is an older version."""

    code = "unimplemented"


class TooLarge(ProcuratorError):
    """A message, upload or output is over its limit."""

    code = "too-large"


class Unavailable(ProcuratorError):
    """The other side cannot be reached or cannot answer now."""

    code = "unavailable"
    transient = True


class DeadlineExceeded(ProcuratorError):
    """The call took longer than its deadline."""

    code = "deadline-exceeded"
    transient = True


class Internal(ProcuratorError):
    """A bug on the other side; its log has the story."""

    code = "internal"


class CommandFailed(ProcuratorError):
    """A program ended with a non-zero exit code (negative: minus the signal's number)."""

    code = "command-failed"

    def __init__(self, *, argv: Sequence[str], cwd: str | None, returncode: int, stdout: bytes, stderr: bytes) -> None:
        self.argv = tuple(argv)
        self.cwd = cwd
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        tail = stderr.decode(errors="replace").strip() or stdout.decode(errors="replace").strip()
        place = f" in {cwd}" if cwd else ""
        super().__init__(f"{' '.join(self.argv)}{place} exited with {returncode}: {tail[-2000:]}")


ERRORS_BY_CODE: dict[str, type[ProcuratorError]] = {
    kind.code: kind
    for kind in (
        InvalidInput,
        NotFound,
        Conflict,
        Stale,
        HashMismatch,
        BadSignature,
        WrongOrigin,
        PermissionDenied,
        Unauthenticated,
        Unimplemented,
        TooLarge,
        Unavailable,
        DeadlineExceeded,
        Internal,
    )
}
"""What a code on the wire becomes again; an unknown code becomes `Internal`."""


def error_from_code(code: str, message: str) -> ProcuratorError:
    """The exception that `code` and `message` stood for before they crossed a wire."""
    return ERRORS_BY_CODE.get(code, Internal)(message)
