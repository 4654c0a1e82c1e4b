"""Gets what the resolver found into the firewall before the guest hears of it; it judges no name.

Permissions that are asked for while others are being written go together in the next transaction.
"""

import math
from collections.abc import Awaitable, Callable, Iterable

import trio

from schema.errors import ProcuratorError, TooLarge

SHORTEST_SECONDS = 60
"""A permission lasts as long as the answer may be kept, and at least this."""
MOST_OF_A_TAP = 4096
"""Addresses that one guest may be permitted at a time: names below a listed one may be without number."""
FRESH_SECONDS = 5
"""A permission that would last only so much longer is not written again."""

Write = Callable[[Iterable[tuple[str, str, int]]], Awaitable[None]]
"""(tap, address, seconds from now)."""


class Permits:
    """What is permitted until when, as far as this process knows."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._until: dict[str, dict[str, float]] = {}
        self._waiting: dict[tuple[str, str], int] = {}
        self._turn = trio.Lock()

    def forget(self, taps: Iterable[str]) -> None:
        """The permissions of these taps are taken away."""
        for tap in taps:
            self._until.pop(tap, None)

    async def write_again(self) -> None:
        """The firewall has lost all of them: what still holds is written anew. Raises Unavailable."""
        async with self._turn:
            now = trio.current_time()
            left = [
                (tap, address, math.ceil(until - now))
                for tap, known in self._until.items()
                for address, until in known.items()
                if until > now
            ]
            if left:
                await self._write(left)

    async def permit(self, tap: str, addresses: Iterable[str], *, ttl: int) -> None:
        """Return when the tap may reach all of `addresses`. Raises Unavailable, and TooLarge for one with too many."""
        seconds, now = max(ttl, SHORTEST_SECONDS), trio.current_time()
        known = self._until.get(tap, {})
        wanted = [address for address in addresses if known.get(address, 0.0) < now + seconds - FRESH_SECONDS]
        if not wanted:
            return
        if len(known) + len(wanted) > MOST_OF_A_TAP:
            known = self._until[tap] = {address: until for address, until in known.items() if until > now}
            if len(known) + len(wanted) > MOST_OF_A_TAP:
                raise TooLarge(f"{tap} is permitted {len(known)} addresses already")
        for address in wanted:
            key = (tap, address)
            self._waiting[key] = max(seconds, self._waiting.get(key, 0))
        async with self._turn:
            if all((tap, address) not in self._waiting for address in wanted):
                return  # whoever had the turn before took them along
            await self._flush()

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, {}
        started = trio.current_time()
        try:
            await self._write([(tap, address, seconds) for (tap, address), seconds in batch.items()])
        except ProcuratorError:
            self._waiting = batch | self._waiting  # for those who wait behind us
            raise
        for (tap, address), seconds in batch.items():
            self._until.setdefault(tap, {})[address] = started + seconds
