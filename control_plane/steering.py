"""What operators ask of rollouts and holds, each as one audited change, and the lists of both; it decides nothing."""

from collections.abc import Callable, Sequence
from functools import partial

from control_plane.authority import Authority, Decide
from control_plane.convergence import Moment
from control_plane.events import StateEvent
from control_plane.generations import generation_content, list_generations
from control_plane.holds import decide_hold, decide_lift, hold_audit, lift_audit, list_holds, told
from control_plane.observations import Observations
from control_plane.rollout.commands import (
    decide_abort,
    decide_pause,
    decide_promote,
    decide_resume,
    rollout_audit,
)
from control_plane.rollout.status import list_rollouts
from control_plane.state import Snapshot
from schema.interfaces import Identity
from schema.operations import GenerationContent, Hold, RolloutStatus
from schema.status import GenerationStatus

Seen = Callable[[], tuple[Observations, Moment]]
"""What is known of the cluster now, and when now is."""


class Steering:
    """The operations of `schema.interfaces.Master` on generations, rollouts and holds; `by` is who asks."""

    def __init__(self, authority: Authority, *, seen: Seen) -> None:
        self._authority = authority
        self._seen = seen

    @property
    def _snapshot(self) -> Snapshot:
        return self._authority.snapshot

    @property
    def _wall_ms(self) -> int:
        return self._seen()[1].wall_ms

    def generations(self, *, limit: int, before: int) -> tuple[GenerationStatus, ...]:
        """As Master.list_generations."""
        return list_generations(self._snapshot, limit=limit, before=before)

    def generation(self, number: int) -> GenerationContent:
        """As Master.get_generation."""
        return generation_content(self._snapshot, number)

    def rollouts(self, *, limit: int, before: int) -> tuple[RolloutStatus, ...]:
        """As Master.list_rollouts."""
        observations, moment = self._seen()
        return list_rollouts(
            self._snapshot, observations, limit=limit, before=before, now_ms=moment.now_ms, wall_ms=moment.wall_ms
        )

    def holds(self) -> tuple[Hold, ...]:
        """As Master.list_holds."""
        return list_holds(self._snapshot)

    async def pause(self, generation: int, *, reason: str, by: Identity) -> None:
        """As Master.pause_rollout."""
        decide = partial(decide_pause, generation=generation, actor=by.subject, reason=reason, wall_ms=self._wall_ms)
        await self._steer(decide, by, "pauseRollout", generation)

    async def resume(self, generation: int, *, by: Identity) -> None:
        """As Master.resume_rollout."""
        await self._steer(
            partial(decide_resume, generation=generation, wall_ms=self._wall_ms), by, "resumeRollout", generation
        )

    async def promote(self, generation: int, *, by: Identity) -> None:
        """As Master.promote_rollout."""
        await self._steer(
            partial(decide_promote, generation=generation, actor=by.subject), by, "promoteRollout", generation
        )

    async def abort(self, generation: int, *, reason: str, by: Identity) -> None:
        """As Master.abort_rollout."""
        decide = partial(decide_abort, generation=generation, actor=by.subject, reason=reason, wall_ms=self._wall_ms)
        await self._steer(decide, by, "abortRollout", generation)

    async def _steer(self, decide: Decide, by: Identity, action: str, generation: int) -> None:
        audit = partial(rollout_audit, identity=by, action=action, generation=generation)
        await self._authority.change(decide, audit=audit)

    async def hold(self, vms: Sequence[str], generation: int, *, reason: str, by: Identity) -> Hold:
        """As Master.hold."""
        made: list[Hold] = []

        def decide(snapshot: Snapshot) -> Sequence[StateEvent]:
            events = decide_hold(
                snapshot, vms=vms, generation=generation, reason=reason, actor=by.subject, wall_ms=self._wall_ms
            )
            made.extend(told(event.hold) for event in events)
            return events

        await self._authority.change(decide, audit=partial(hold_audit, identity=by, vms=tuple(vms)))
        return made[0]

    async def lift(self, hold_id: str, *, by: Identity) -> None:
        """As Master.lift_hold."""
        decide = partial(decide_lift, hold_id=hold_id, wall_ms=self._wall_ms)
        await self._authority.change(decide, audit=partial(lift_audit, identity=by, hold_id=hold_id))
