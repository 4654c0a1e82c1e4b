"""What the routes answer from: the few things of the control plane that HTTP needs; it holds them and does nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from control_plane.audit import AuditDraft, Head
from control_plane.http.access import Policy
from control_plane.http.metrics import Metrics
from control_plane.http.streams import Streams
from control_plane.watch import EventStream
from schema.errors import ProcuratorError
from schema.interfaces import Identity, Master
from schema.operations import AuditVerdict
from schema.status import ClusterStatus


class Sessions(Protocol):
    """What of `schema.interfaces.Backend` is needed here."""

    def master(self, identity: Identity) -> Master:
        """The operations on behalf of `identity`."""

    async def verify_token(self, token: str) -> Identity | None:
        """Who a token belongs to."""

    def is_valid(self, identity: Identity) -> bool:
        """Whether a session of `identity` may go on."""


class Audit(Protocol):
    """What of the authority is needed here."""

    audit_head: Head

    async def verify_audit(self, *, witness: Head | None = None) -> AuditVerdict:
        """Follow the chain; `witness` is a head that was noted down earlier."""

    async def record(self, audit: AuditDraft, *, refusal: ProcuratorError | None = None) -> None:
        """Write what was refused."""


@dataclass(frozen=True, slots=True)
class Served:
    """The control plane as HTTP sees it. `is_ready`: whether sessions are served."""

    sessions: Sessions
    status: Callable[[], ClusterStatus]
    events: EventStream
    audit: Audit
    metrics: Metrics
    is_ready: Callable[[], bool]
    version: str
    policy: Policy
    streams: Streams = field(default_factory=Streams)
