"""Publish a generation and follow its rollout through the control plane's `Master`; it opens no connection itself."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pydantic import ValidationError

from ci_service.pipeline import branch_of, is_unchanged
from ci_service.store import Reservation
from schema.blueprint import Blueprint
from schema.builds import Build
from schema.canonical import Sealed, explain_validation
from schema.errors import Conflict, Stale
from schema.generation import intent_of, sign_publish
from schema.interfaces import Master
from schema.names import printable
from schema.origin import Origin
from schema.signing import SecretKey
from schema.status import ClusterStatus
from schema.vmspec import VmSpec

OpenMaster = Callable[[], AbstractAsyncContextManager[Master]]
"""Opens a session as publisher; raises Unavailable where the control plane is away."""

NUMBER_TRIES = 5


@dataclass(frozen=True, slots=True)
class Tracking:
    """The origin that a build publishes for, or in words why its branch is not the one that the realm tracks."""

    origin: Origin | None
    reason: str = ""


def directory_of(build: Build, status: ClusterStatus) -> str:
    """Where the flake is in the repository that the realm tracks; the root of any other."""
    tracked = status.origin
    is_tracked = tracked is not None and _names(tracked) == (build.repository, branch_of(build.ref))
    return tracked.path if tracked is not None and is_tracked else "."


def _names(origin: Origin) -> tuple[str, str]:
    return origin.repository, origin.branch


def tracking_of(build: Build, *, status: ClusterStatus, default_branch: str) -> Tracking:
    """While the realm tracks no origin, a repository's default branch counts as tracked (DESIGN §1).

    git takes more names for a branch than a realm can track: such a branch is built, and no error.
    """
    branch, tracked = branch_of(build.ref), status.origin
    if tracked is not None:
        if _names(tracked) == (build.repository, branch):
            return Tracking(tracked)
        return Tracking(None, f"the realm tracks {tracked}; this is {build.repository} {printable(branch)}")
    if branch != default_branch:
        said = f"only the default branch {printable(default_branch)!r} publishes; this is {printable(branch)!r}"
        return Tracking(None, said)
    try:
        return Tracking(Origin(repository=build.repository, branch=branch))
    except ValidationError as error:
        return Tracking(None, f"the branch {printable(branch)!r} cannot be tracked: {explain_validation(error)}")


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing to publish: the newest generation has the same content and succeeded."""

    number: int


@dataclass(frozen=True, slots=True)
class Published:
    """The generation is on the control plane's disk."""

    number: int
    intent_hash: str


@dataclass(frozen=True, slots=True)
class Publisher:
    """Signs and publishes with CI's key. `reserve` keeps (number, hash) on disk before anything is sent."""

    key: SecretKey
    realm: str

    async def publish(
        self,
        master: Master,
        *,
        build: Build,
        origin: Origin,
        blueprint: Blueprint,
        vm_specs: tuple[Sealed[VmSpec], ...],
        reserved: Reservation | None,
        highest_reserved: int,
        reserve: Callable[[Reservation], Awaitable[None]],
    ) -> Published | Unchanged:
        """Publish, or find that there is nothing to publish.

        A retry repeats the reserved number and hash, which the control plane answers as the success that it was; when
        another publisher took the number, the next one is reserved. Raises what publishState raises.
        """
        rollout = Sealed.of(blueprint.rollout)
        intent = intent_of(cluster=blueprint.cluster, rollout=rollout, vm_specs=vm_specs).sha256
        if reserved is not None and reserved.intent_hash != intent:
            reserved = None  # the earlier try was of another content: a changed input of the same commit
        for _ in range(NUMBER_TRIES):
            newest = (await master.get_cluster_status()).newest
            if reserved is None:
                if newest is not None and is_unchanged(newest, intent):
                    return Unchanged(newest.number)
                reserved = Reservation(max(newest.number if newest else 0, highest_reserved) + 1, intent)
                await reserve(reserved)
            publish = sign_publish(
                realm=self.realm,
                cluster=blueprint.cluster,
                number=reserved.number,
                commit=build.commit,
                origin=origin,
                vm_specs=vm_specs,
                rollout=rollout,
                key=self.key,
            )
            try:
                receipt = await master.publish_state(publish)
            except (Conflict, Stale):
                highest_reserved, reserved = max(highest_reserved, reserved.number), None
            else:
                return Published(receipt.number, receipt.intent_hash)
        raise Conflict(f"no generation number was free in {NUMBER_TRIES} tries: another publisher is at work")
