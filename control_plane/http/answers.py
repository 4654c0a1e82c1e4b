"""The answers of the routes, each from one question to `Master`; it checks no rights and sends nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from control_plane.audit import Head
from control_plane.http.paging import PageQuery, before, cut, next_before
from control_plane.http.routes import (
    AdmissionPage,
    AuditHead,
    AuditPage,
    EventPage,
    EventQuery,
    GenerationPage,
    HoldPage,
    NumberedEvent,
    RolloutPage,
    VmPage,
    VmQuery,
    WitnessQuery,
    WorkerPage,
    WorkerQuery,
)
from control_plane.state import natural
from control_plane.watch import EventStream
from schema.errors import NotFound
from schema.generation_diff import generation_diff
from schema.interfaces import Master
from schema.operations import AuditVerdict
from schema.status import ClusterStatus, Cursor, VmStatus


class AuditReader(Protocol):
    """What of the audit is read beside `Master`."""

    audit_head: Head

    async def verify_audit(self, *, witness: Head | None = None) -> AuditVerdict:
        """Follow the chain; `witness` is a head that was noted down earlier."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, checked: `of` is what its path names, `query` its parameters, both as the route's models."""

    master: Master
    status: Callable[[], ClusterStatus]
    events: EventStream
    audit: AuditReader
    of: Any
    query: Any


Answer = Callable[[Question], Awaitable[BaseModel]]


async def status(question: Question) -> BaseModel:
    """The whole cluster."""
    return question.status()


async def vms(question: Question) -> BaseModel:
    """A page of instances."""
    query: VmQuery = question.query
    found = (vm for vm in question.status().vms if _is_asked_for(vm, query))
    items, more = cut(found, kind="vms", key=lambda vm: natural(vm.instance), query=query, like=("", 0))
    return VmPage(items=items, next=more)


def _is_asked_for(vm: VmStatus, query: VmQuery) -> bool:
    wanted = (
        (query.vm, vm.vm),
        (query.worker, vm.worker_id),
        (query.phase, vm.phase),
        (query.healthy, vm.healthy),
        (query.drift, vm.drift),
    )
    return all(asked is None or asked == found for asked, found in wanted)


async def vm(question: Question) -> BaseModel:
    """One instance."""
    for one in question.status().vms:
        if one.instance == question.of.instance:
            return one
    raise NotFound(f"there is no instance {question.of.instance!r}")


async def explain(question: Question) -> BaseModel:
    """Why an instance is where it is."""
    return await question.master.explain(question.of.instance)


async def workers(question: Question) -> BaseModel:
    """A page of workers."""
    query: WorkerQuery = question.query
    known = question.status().workers
    found = (worker for worker in known if query.state in (None, worker.state))
    items, more = cut(found, kind="workers", key=lambda worker: (worker.worker_id,), query=query, like=("",))
    return WorkerPage(items=items, next=more)


async def worker(question: Question) -> BaseModel:
    """One worker."""
    for one in question.status().workers:
        if one.worker_id == question.of.worker:
            return one
    raise NotFound(f"there is no worker {question.of.worker!r}")


async def admissions(question: Question) -> BaseModel:
    """A page of those that asked to join."""
    found = await question.master.list_workers()
    items, more = cut(found, kind="admissions", key=lambda one: (one.worker_id,), query=question.query, like=("",))
    return AdmissionPage(items=items, next=more)


async def generations(question: Question) -> BaseModel:
    """A page of generations."""
    query: PageQuery = question.query
    items = await question.master.list_generations(limit=query.limit, before=before(query, "generations"))
    return GenerationPage(items=items, next=next_before((one.number for one in items), kind="generations", query=query))


async def generation(question: Question) -> BaseModel:
    """One generation."""
    return await question.master.get_generation(question.of.number)


async def difference(question: Question) -> BaseModel:
    """Two generations against each other."""
    old = await question.master.get_generation(question.of.old)
    return generation_diff(old, await question.master.get_generation(question.of.new))


async def rollouts(question: Question) -> BaseModel:
    """A page of rollouts."""
    query: PageQuery = question.query
    items = await question.master.list_rollouts(limit=query.limit, before=before(query, "rollouts"))
    return RolloutPage(items=items, next=next_before((one.generation for one in items), kind="rollouts", query=query))


async def rollout(question: Question) -> BaseModel:
    """One rollout."""
    number = question.of.number
    for one in await question.master.list_rollouts(limit=1, before=number + 1):
        if one.generation == number:
            return one
    raise NotFound(f"there is no rollout of generation {number}")


async def holds(question: Question) -> BaseModel:
    """A page of holds."""
    found = await question.master.list_holds()
    items, more = cut(found, kind="holds", key=lambda one: (one.id,), query=question.query, like=("",))
    return HoldPage(items=items, next=more)


async def events(question: Question) -> BaseModel:
    """What is kept of the latest events."""
    query: EventQuery = question.query
    found, complete = question.events.kept(cursor_of(query.cursor), most=query.limit)
    items = tuple(NumberedEvent(id=id_of(cursor), event=event) for event, cursor in found)
    return EventPage(items=items, cursor=items[-1].id if items else id_of(question.events.position), complete=complete)


def id_of(cursor: Cursor) -> str:
    """A cursor as the id of a server-sent event."""
    return f"{cursor.epoch}.{cursor.sequence}"


def cursor_of(text: str | None) -> Cursor | None:
    """The cursor in an event's id; None for what is none."""
    epoch, _, sequence = (text or "").rpartition(".")
    if not epoch or not sequence.isascii() or not sequence.isdigit() or len(sequence) > 16:
        return None
    return Cursor(epoch=epoch, sequence=int(sequence))


async def audit(question: Question) -> BaseModel:
    """A page of the audit."""
    query: PageQuery = question.query
    items = await question.master.list_audit(limit=query.limit, before=before(query, "audit"))
    head = question.audit.audit_head
    return AuditPage(
        items=items,
        next=next_before((one.sequence for one in items), kind="audit", query=query),
        head=AuditHead(rows=head.rows, hash=head.hash),
    )


async def verdict(question: Question) -> BaseModel:
    """Whether the audit holds, and goes through a head that the caller noted down."""
    query: WitnessQuery = question.query
    rows, _, found = (query.witness or "").partition(":")
    return await question.audit.verify_audit(witness=Head(int(rows), found) if found else None)


ANSWERS: dict[str, Answer] = {
    "status": status,
    "vms": vms,
    "vm": vm,
    "explain": explain,
    "workers": workers,
    "worker": worker,
    "admissions": admissions,
    "generations": generations,
    "generation": generation,
    "difference": difference,
    "rollouts": rollouts,
    "rollout": rollout,
    "holds": holds,
    "events": events,
    "audit": audit,
    "verdict": verdict,
}
"""By the route's name."""
