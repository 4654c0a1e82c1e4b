"""Errors as they cross the wire, in the reason of a Cap'n Proto exception; it maps both ways and logs bugs.

The reason is `procurator-fault ` and one line of JSON, `{"code":…,"message":…}`. Nothing of a traceback crosses.
"""

import json
import logging
import traceback
from typing import Any

import capnp

from schema.errors import Internal, InvalidInput, ProcuratorError, Unavailable, Unimplemented, error_from_code

log = logging.getLogger("procurator.rpc")

MARK = "procurator-fault "
MESSAGE_CHARACTERS = 4000


class Fault(Exception):  # what a caller is told, never raised
    """An error in the form in which pycapnp prints it into the reason."""


def fault_of(error: Exception) -> Fault:
    """What the caller is told of `error`; a bug is logged here and told as `internal`.

    The traceback is logged as text and dropped: its frames know the call's context, and KJ cannot end while
    a log record, or a cycle that waits for the collector, keeps that.
    """
    raised = error
    if isinstance(error, capnp.KjException):
        error = _of_kj_in_a_handler(error)
    elif isinstance(error, UnicodeDecodeError):
        error = InvalidInput("a malformed message: text that is not UTF-8")
    elif not isinstance(error, ProcuratorError):
        log.error("a call failed with a bug\n%s", "".join(traceback.format_exception(error)))
        error = Internal("internal error; the server's log has the story")
    raised.__traceback__ = None
    message = error.message[:MESSAGE_CHARACTERS]
    return Fault(MARK + json.dumps({"code": error.code, "message": message}, separators=(",", ":")))


def _of_kj_in_a_handler(kj: Any) -> ProcuratorError:
    error = error_of(kj)
    # With no mark it failed here: pointers out of bounds, too deep, too many words.
    return InvalidInput("a malformed message") if kj.type == "FAILED" and MARK not in kj.description else error


def error_of(kj: Any) -> ProcuratorError:
    """The exception that a failed call stands for, from pycapnp's `KjException`."""
    reason = str(kj.description)
    _, found, rest = reason.partition(MARK)
    if found:
        try:
            fault = json.loads(rest.partition("\n")[0])
            return error_from_code(str(fault["code"]), str(fault["message"]))
        except (ValueError, KeyError, TypeError):
            return Internal(f"an unreadable fault: {reason[:200]!r}")
    match kj.type:
        case "DISCONNECTED":
            return Unavailable("the connection is closed")
        case "OVERLOADED":
            return Unavailable("the other side is overloaded")
        case "UNIMPLEMENTED":
            return Unimplemented("the other side does not have this operation")
        case _:
            return Internal(f"the call failed: {reason[:500]}")
