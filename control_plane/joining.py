"""What the state learns from a login: a new worker gets a subnet, a known one its new facts; it keeps no connection."""

from pydantic import TypeAdapter, ValidationError

from control_plane.events import StateEvent, WorkerChanged, WorkerJoined
from control_plane.scheduler.addresses import free_subnet
from control_plane.state import Snapshot
from schema.canonical import explain_validation
from schema.errors import InvalidInput
from schema.interfaces import WorkerHello
from schema.names import DnsLabel

_worker_id: TypeAdapter[str] = TypeAdapter(DnsLabel)


def join(snapshot: Snapshot, *, hello: WorkerHello, network: str) -> tuple[StateEvent, ...]:
    """The event for a login; none when nothing about the worker is new. `network` is the range of subnets.

    Raises InvalidInput (an id that is no DNS label, or facts that make no machine) and Unavailable (no /24 is left).
    """
    try:
        _worker_id.validate_python(hello.worker_id)
    except ValidationError as error:
        raise InvalidInput(f"worker id {hello.worker_id[:100]!r}: {explain_validation(error)}") from error
    facts = hello.facts
    if min(facts.cpu, facts.memory_mb, facts.disk_mb, *facts.extras.values(), 0) < 0:
        raise InvalidInput(f"worker {hello.worker_id!r} says it has less than nothing: {facts!r}")
    known = snapshot.workers.get(hello.worker_id)
    if known is None:
        subnet = free_subnet(network, (worker.subnet for worker in snapshot.workers.values()))
        return (WorkerJoined(hello.worker_id, facts, subnet),)
    return () if known.facts == facts else (WorkerChanged(hello.worker_id, facts),)
