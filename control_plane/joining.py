"""What the state learns from a login: a new worker gets a subnet, a known one its new facts; it keeps no connection."""

import ipaddress
from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from control_plane.events import StateEvent, WorkerChanged, WorkerJoined
from control_plane.scheduler.addresses import free_subnet
from control_plane.state import Snapshot
from schema.blueprint import LabelKey, Labels
from schema.canonical import canonical_bytes, explain_validation
from schema.errors import InvalidInput, Unauthenticated
from schema.interfaces import WorkerHello
from schema.names import DnsLabel, printable
from schema.operations import Admission
from schema.status import WorkerFacts

MOST_FACTS_BYTES = 8192
"""Of the canonical JSON of a worker's facts: they are kept, and shown to everyone."""
_worker_id: TypeAdapter[str] = TypeAdapter(DnsLabel)
_labels: TypeAdapter[Mapping[str, str]] = TypeAdapter(Labels)
_extras: TypeAdapter[Mapping[str, int]] = TypeAdapter(dict[LabelKey, int])


def check_worker_id(worker_id: str) -> None:
    """Raises InvalidInput for an id that is no DNS label."""
    try:
        _worker_id.validate_python(worker_id)
    except ValidationError as error:
        raise InvalidInput(f"worker id {worker_id[:100]!r}: {explain_validation(error)}") from error


def check_hello(hello: WorkerHello) -> None:
    """Raises InvalidInput for an id that is no DNS label, and for facts that make no machine or are endless.

    Its address goes to other workers, which set routes by it: one that is none is not for them to find out.
    """
    check_worker_id(hello.worker_id)
    facts = hello.facts
    if min(facts.cpu, facts.memory_mb, facts.disk_mb, *facts.extras.values(), 0) < 0:
        raise InvalidInput(f"worker {hello.worker_id!r} says it has less than nothing: {facts!r}")
    size = len(canonical_bytes(facts.model_dump(mode="json", by_alias=True)))
    if size > MOST_FACTS_BYTES:
        raise InvalidInput(f"worker {hello.worker_id!r} says {size} bytes of itself; {MOST_FACTS_BYTES} are the most")
    try:
        _labels.validate_python(facts.labels)
        _extras.validate_python(facts.extras)
    except ValidationError as error:
        raise InvalidInput(f"worker {hello.worker_id!r} has impossible labels: {explain_validation(error)}") from error
    words = (facts.arch, facts.hypervisor, facts.version, facts.location)
    if any(printable(word) != word for word in words):
        raise InvalidInput(f"worker {hello.worker_id!r} says something with control characters of itself")
    if not _is_reachable(facts):
        shown = printable(facts.address)[:100]
        raise InvalidInput(f"worker {hello.worker_id!r} has the address {shown!r}, which no other worker can send to")


def _is_reachable(facts: WorkerFacts) -> bool:
    """Whether the address is one machine's on a network, or left out."""
    try:
        address = ipaddress.IPv4Address(facts.address or "192.0.2.1")
    except ValueError:
        return False
    return not (address.is_loopback or address.is_multicast or address.is_unspecified or address.is_reserved)


def log_in(snapshot: Snapshot, *, hello: WorkerHello, network: str) -> tuple[StateEvent, ...]:
    """The event for a login; none when nothing about the worker is new. `network` is the range of subnets.

    Raises InvalidInput (as check_hello), Unauthenticated (it is not admitted, or not any more) and Unavailable (no /24
    is left).
    """
    check_hello(hello)
    if snapshot.identity.admission(hello.worker_id) is not Admission.APPROVED:
        raise Unauthenticated(f"worker {hello.worker_id!r} is not admitted")
    known = snapshot.workers.get(hello.worker_id)
    if known is None:
        subnet = free_subnet(network, (worker.subnet for worker in snapshot.workers.values()))
        revision = snapshot.identity.first_revision(hello.worker_id)
        return (WorkerJoined(hello.worker_id, hello.facts, subnet, revision),)
    return () if known.facts == hello.facts else (WorkerChanged(hello.worker_id, hello.facts),)
