"""The task that carries the notes of all repositories to CI; what CI makes of them is no matter of its.

Level-triggered: at start, after every push, and on a timer it looks at what is there. For one repository it first
makes sure that the notes say what happened (`repohub.updates`), remembers that, and then sends them one by one in
their order; a note is removed only when CI has taken it. So killing repohub at any moment loses nothing: at most a
delivery is repeated, with the same id, by which CI knows it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from uuid import UUID

import trio
from pydantic import ValidationError

from repohub.activity import Activity
from repohub.outbox import Note, Outbox
from repohub.store import RepositoryStore
from repohub.updates import RefUpdate, missed_updates, told_after
from repohub.verdict import Delivered, Refusal, Retry, Verdict, delay_after
from schema.builds import PushNotice
from schema.errors import ProcuratorError

log = logging.getLogger(__name__)

TIMER = 60.0
"""Seconds after which every outbox is looked at, woken or not."""


class Hook(Protocol):
    """Where notes go."""

    async def tell(self, notice: PushNotice) -> Verdict:
        """Deliver one; raises nothing that is expected."""


@dataclass(frozen=True, slots=True)
class Clockwork:
    """What a pure test would fix: the time (Unix nanoseconds) and new delivery ids."""

    now_ns: Callable[[], int]
    new_id: Callable[[], UUID]


@dataclass(slots=True)
class Delivery:
    """The task and what pages show of it: `problem` is why CI is not taking notes now, empty when it is."""

    store: RepositoryStore
    activity: Activity
    hook: Hook
    clockwork: Clockwork
    problem: str = ""
    _unsure: set[str] = field(default_factory=set)
    _woken: trio.Event = field(default_factory=trio.Event)

    def wake(self, repository: str) -> None:
        """A push to it is over: look at it now, and at what its hook may have missed."""
        self._unsure.add(repository)
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        failures = 0
        self._unsure.update(repository.name for repository in await trio.to_thread.run_sync(self.store.all))
        while True:
            self._woken = trio.Event()
            self.problem = await self._round()
            failures = failures + 1 if self.problem else 0
            if failures in {1, 10, 100}:
                log.warning("pushes wait: %s", self.problem)
            with trio.move_on_after(delay_after(failures) if failures else TIMER):
                await self._woken.wait()

    async def _round(self) -> str:
        """Look at every repository once; the reason why something is still waiting, or nothing."""
        problem = ""
        for repository in await trio.to_thread.run_sync(self.store.all):
            outbox = self.store.outbox(repository.name)
            try:
                notes = await self._settled(repository.name, outbox)
                problem = await self._deliver(repository.name, repository.default_branch, outbox, notes) or problem
            except (ProcuratorError, OSError) as error:
                log.warning("the outbox of %s: %s", repository.name, error)
                problem = f"{repository.name}: {error}"
        return problem

    async def _settled(self, name: str, outbox: Outbox) -> tuple[Note, ...]:
        """The waiting notes, of which CI's knowledge of the refs (`told`) already speaks."""
        quiet = self.activity.quiet(name) if name in self._unsure else None
        notes = await trio.to_thread.run_sync(outbox.pending)
        if not notes and quiet is None:
            return ()
        before = await trio.to_thread.run_sync(outbox.told)
        after = told_after(before, (note.update for note in notes))
        if quiet is not None:
            missed = missed_updates(after, await self.store.refs(name))
            if not self.activity.still(quiet):
                quiet, missed = None, ()  # a push has begun meanwhile; its end wakes us again
            if missed:
                await self._note(name, outbox, missed)
                notes = await trio.to_thread.run_sync(outbox.pending)
                after = told_after(before, (note.update for note in notes))
        if after != before:
            await trio.to_thread.run_sync(outbox.set_told, after)
        if quiet is not None and self.activity.still(quiet):
            self._unsure.discard(name)
        return notes

    async def _note(self, name: str, outbox: Outbox, missed: tuple[RefUpdate, ...]) -> None:
        log.info("%s: %d updates that the hook did not note", name, len(missed))
        deliveries = tuple(self.clockwork.new_id() for _ in missed)
        add = partial(outbox.add, missed, deliveries=deliveries, now_ns=self.clockwork.now_ns())
        await trio.to_thread.run_sync(add)

    async def _deliver(self, name: str, default_branch: str, outbox: Outbox, notes: tuple[Note, ...]) -> str:
        for note in notes:
            verdict = await self._tell(name, default_branch, note)
            match verdict:
                case Delivered():
                    await trio.to_thread.run_sync(outbox.delivered, note)
                case Refusal(reason):
                    log.warning("CI refused %s of %s for good: %s", note.update.ref, name, reason)
                    await trio.to_thread.run_sync(partial(outbox.refuse, note, reason=reason))
                case Retry(reason):
                    return reason
        return ""

    async def _tell(self, name: str, default_branch: str, note: Note) -> Verdict:
        try:
            notice = PushNotice(
                delivery=note.delivery,
                repository=name,
                ref=note.update.ref,
                old=note.update.old,
                new=note.update.new,
                default_branch=default_branch,
            )
        except ValidationError as error:
            return Refusal(f"this update cannot be told: {error.errors(include_url=False)[0]['msg']}")
        return await self.hook.tell(notice)
