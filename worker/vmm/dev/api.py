"""The REST API over the state machine: endpoint and method to answer; it opens no socket and starts no guest."""

from typing import NamedTuple

from worker.vmm.dev.answers import Json, Refused
from worker.vmm.dev.machine import Machine
from worker.vmm.dev.phases import Request
from worker.vmm.dev.wire import HttpRequest, response

VERSION = "53.0.0"
"""Whose answers these are; the contract was recorded on this version."""


class Identity(NamedTuple):
    """What `vmm.ping` tells."""

    build_version: str
    pid: int


class Answer(NamedTuple):
    """Bytes for the client, and whether the process ends after them."""

    content: bytes
    ends_process: bool = False


_READ = (Request.INFO, Request.COUNTERS)
ROUTES: dict[str, tuple[str, Request | None]] = {
    "vmm.ping": ("GET", None),
    "vmm.shutdown": ("PUT", None),
    **{request.value: ("GET" if request in _READ else "PUT", request) for request in Request},
}
"""What is offered. Everything else is answered as by a real one that was built without it (`vm.coredump`): 404."""


def respond(machine: Machine, identity: Identity, request: HttpRequest) -> Answer:
    """The answer to one request, after it was carried out."""
    if request.method in ("DELETE", "PATCH"):
        return Answer(response(400))
    route = ROUTES.get(request.endpoint or "")
    if route is None:
        return Answer(response(404, ["Not Found"]))
    method, verb = route
    if method != request.method:
        return Answer(response(400, ["Bad Request"]))
    if verb is Request.CREATE and not request.body:
        return Answer(response(400))
    if bool(request.body) is not (verb is not None and verb.takes_body):
        return Answer(response(400, ["Bad Request"]))
    if request.endpoint == "vmm.shutdown":
        return Answer(response(200), ends_process=True)
    if verb is None:
        return Answer(response(200, ping(identity)))
    try:
        body = machine.handle(verb, request.body)
    except Refused as refused:
        first = () if refused.causes[0] == "Failed to deserialize JSON" else ("Error from API",)
        return Answer(response(refused.status, [*first, *refused.causes]))
    return Answer(response(204) if body is None else response(200, body))


def ping(identity: Identity) -> Json:
    """The body of `vmm.ping`."""
    return {"build_version": identity.build_version, "version": VERSION, "pid": identity.pid, "features": []}
