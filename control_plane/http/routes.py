"""What can be read over HTTP, in one table: path, parameters, answer, and which roles may; it answers nothing.

A path that is not in the table does not exist. `rights` is the operation of `schema.rpc.rights` that stands for the
same knowledge: whoever may not ask it there may not here either.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from control_plane.http.paging import DIGITS, Flag, PageQuery
from schema.generation_diff import GenerationDiff
from schema.interfaces import Role
from schema.names import DnsLabel, GenerationNumber, InstanceName, StrictModel, WireModel
from schema.operations import (
    AuditEntry,
    AuditVerdict,
    Explanation,
    GenerationContent,
    Hold,
    RolloutStatus,
    WorkerAdmission,
)
from schema.rpc.rights import RIGHTS
from schema.status import ClusterStatus, Event, GenerationStatus, VmPhase, VmStatus, WorkerState, WorkerStatus

JSON = "application/json"
TEXT = "text/plain"
STREAM = "text/event-stream"


class NoParameters(StrictModel):
    """Of a path or query that has none."""


class OfInstance(StrictModel):
    """A path that names an instance."""

    instance: InstanceName


class OfWorker(StrictModel):
    """A path that names a worker."""

    worker: DnsLabel


class OfGeneration(StrictModel):
    """A path that names a generation."""

    number: GenerationNumber


class OfTwoGenerations(StrictModel):
    """A path that names two generations."""

    old: GenerationNumber
    new: GenerationNumber


class VmQuery(PageQuery):
    """Which VMs."""

    vm: DnsLabel | None = None
    worker: DnsLabel | None = None
    phase: VmPhase | None = None
    healthy: Flag | None = None
    drift: Flag | None = None


class WorkerQuery(PageQuery):
    """Which workers."""

    state: WorkerState | None = None


class EventQuery(StrictModel):
    """From where on; the header Last-Event-ID says the same and wins."""

    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9a-f]{32}\.[0-9]{1,16}$", description="An event's id: what came behind it.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="Events of a JSON answer at most."), DIGITS] = 100


class WitnessQuery(StrictModel):
    """A head of the audit that was noted down earlier: the chain must go through it."""

    witness: Annotated[
        str | None, Field(pattern=r"^[0-9]{1,15}:[0-9a-f]{64}$", description="A head of `/v1/audit`, as rows:hash.")
    ] = None


class Page(WireModel):
    """What every page has: the token of the next one, absent from the last."""

    next: str | None = None


class VmPage(Page):
    """In the order of their names."""

    items: tuple[VmStatus, ...]


class WorkerPage(Page):
    """In the order of their names."""

    items: tuple[WorkerStatus, ...]


class AdmissionPage(Page):
    """Workers that asked to join, in the order of their names."""

    items: tuple[WorkerAdmission, ...]


class GenerationPage(Page):
    """The newest first."""

    items: tuple[GenerationStatus, ...]


class RolloutPage(Page):
    """The newest first."""

    items: tuple[RolloutStatus, ...]


class HoldPage(Page):
    """Those in force, in the order of their ids."""

    items: tuple[Hold, ...]


class AuditHead(WireModel):
    """Where the audit ends: noted down elsewhere, it shows later that rows were taken away or written anew."""

    rows: int
    hash: str


class AuditPage(Page):
    """The newest first."""

    items: tuple[AuditEntry, ...]
    head: AuditHead


class NumberedEvent(WireModel):
    """An event with its id, which is the cursor behind it."""

    id: str
    event: Event


class EventPage(WireModel):
    """What is kept of the latest events, the oldest first. `complete` is false when some before them are forgotten."""

    items: tuple[NumberedEvent, ...]
    cursor: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Route:
    """One resource. `rights` None: anybody may read it, also without a credential."""

    name: str
    path: str
    summary: str
    rights: str | None
    answer: type[BaseModel] | None = None
    """None: text."""
    of: type[BaseModel] = NoParameters
    query: type[BaseModel] = NoParameters
    streams: bool = False

    @property
    def roles(self) -> frozenset[Role] | None:
        """Who may read it; None for anybody. What has no row in the rights is for nobody."""
        return None if self.rights is None else RIGHTS.get(self.rights, frozenset())


STATUS = "Master.getClusterStatus"
ROUTES: tuple[Route, ...] = (
    Route("healthz", "/healthz", "Whether the process answers.", None),
    Route("readyz", "/readyz", "Whether sessions are served.", None),
    Route("metrics", "/metrics", "Figures for Prometheus.", STATUS),
    Route("openapi", "/v1/openapi.json", "This document.", None, answer=WireModel),
    Route("status", "/v1/status", "The whole cluster at this moment.", STATUS, ClusterStatus),
    Route("vms", "/v1/vms", "All instances, placed or not.", STATUS, VmPage, query=VmQuery),
    Route("vm", "/v1/vms/{instance}", "One instance.", STATUS, VmStatus, of=OfInstance),
    Route(
        "explain",
        "/v1/vms/{instance}/explain",
        "Why an instance is where it is, or nowhere.",
        "Master.explain",
        Explanation,
        of=OfInstance,
    ),
    Route("workers", "/v1/workers", "The workers of the cluster.", STATUS, WorkerPage, query=WorkerQuery),
    Route("worker", "/v1/workers/{worker}", "One worker.", STATUS, WorkerStatus, of=OfWorker),
    Route(
        "admissions",
        "/v1/admissions",
        "All workers that ever asked to join.",
        "Master.listWorkers",
        AdmissionPage,
        query=PageQuery,
    ),
    Route(
        "generations",
        "/v1/generations",
        "The generations that are kept.",
        "Master.listGenerations",
        GenerationPage,
        query=PageQuery,
    ),
    Route(
        "generation",
        "/v1/generations/{number}",
        "One generation as it was published.",
        "Master.getGeneration",
        GenerationContent,
        of=OfGeneration,
    ),
    Route(
        "difference",
        "/v1/generations/{old}/diff/{new}",
        "What one generation changes against another.",
        "Master.getGeneration",
        GenerationDiff,
        of=OfTwoGenerations,
    ),
    Route("rollouts", "/v1/rollouts", "The rollouts.", "Master.listRollouts", RolloutPage, query=PageQuery),
    Route(
        "rollout",
        "/v1/rollouts/{number}",
        "The rollout of one generation.",
        "Master.listRollouts",
        RolloutStatus,
        of=OfGeneration,
    ),
    Route("holds", "/v1/holds", "The holds in force.", "Master.listHolds", HoldPage, query=PageQuery),
    Route(
        "events",
        "/v1/events",
        "What happens: a stream for Accept: text/event-stream, else what is kept of the latest events.",
        "Master.watch",
        EventPage,
        query=EventQuery,
        streams=True,
    ),
    Route("audit", "/v1/audit", "Who did what.", "Master.listAudit", AuditPage, query=PageQuery),
    Route(
        "verdict",
        "/v1/audit/verdict",
        "Whether the audit's chain holds.",
        "Master.verifyAudit",
        AuditVerdict,
        query=WitnessQuery,
    ),
)
