"""What the supervisor asks of the machine for its VMs: the port and its values; it does nothing itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from schema.assignment import Peer
from schema.blueprint import HealthCheck
from schema.status import PullProgress
from worker.adoption import Adopt, Found
from worker.health import CheckResult
from worker.vm_state import Attachment, Content, Desired, Process

OnProgress = Callable[[PullProgress], None]


class Steps(Protocol):
    """Each step either succeeds or raises (ProcuratorError, OSError) having undone what it made; so does cancelling.

    There is never more than one step of an instance at a time.
    """

    async def update(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        """Put into force what is assigned now: whom living VMs may reach, and which closures are kept."""

    async def pull(self, instance: str, content: Content, *, on_progress: OnProgress) -> None:
        """Make the closure valid here; `on_progress` hears how far that is."""

    async def prepare(self, instance: str, content: Content) -> None:
        """Make the closure's image and the volumes."""

    async def boot(self, instance: str, content: Content, attachment: Attachment) -> Process:
        """Check the closure's signatures, attach the network, start a hypervisor and boot; none runs before.

        A fenced singleton's (`content.spec.is_fenced`) ends with the worker's lease, whatever becomes of the worker.
        """

    async def switch(self, instance: str, content: Content, process: Process) -> Process:
        """Make the running VM's System that of `content`, in place; the process with what it has mounted now.

        Raises CannotSwitch when it is to be replaced instead, SwitchFailed when the guest went back by itself.
        """

    async def system_of(self, instance: str) -> str | None:
        """The toplevel that the guest says it runs; None where it does not say."""

    async def stop(self, instance: str, process: Process | None, *, for_good: bool) -> None:
        """Ask the guest to end, then end it; clear what is left, with `for_good` its network too. Idempotent."""

    async def fence(self, instance: str, *, fenced: bool) -> None:
        """Put a running VM under the worker's lease, or take it out. Raises Unavailable where its shim has died."""

    async def ask_guest(
        self, instance: str, checks: Sequence[HealthCheck], *, timeout_ms: int
    ) -> tuple[CheckResult, ...]:
        """The guest's own answers to these checks, in their order; each within `timeout_ms`."""

    async def ended(self, instance: str, process: Process) -> str:
        """Return with the reason within a second after the process has ended."""

    async def found(self) -> Mapping[str, Found]:
        """What earlier runs of the worker left, by instance."""

    async def adopt(self, one: Adopt) -> Process:
        """Take on a living process without touching it."""
