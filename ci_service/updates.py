"""Tell whoever listens that a build changed; a slow listener misses intermediate forms, never the newest.

Each listener has one slot a build: a change that comes before the last one was taken replaces it, so memory is bounded
by the builds that change and nobody waits for a reader.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from schema.builds import Build


class Changes:
    """One listener's pending changes, the oldest build first."""

    def __init__(self) -> None:
        self._pending: dict[int, Build] = {}
        self._wake = trio.Event()

    def put(self, build: Build) -> None:
        """Note a change; the newest form of a build wins."""
        self._pending[build.id] = build
        self._wake.set()

    async def receive(self) -> Build:
        """The next change."""
        while not self._pending:
            self._wake = trio.Event()
            await self._wake.wait()
        return self._pending.pop(next(iter(self._pending)))


class Updates:
    """All listeners."""

    def __init__(self) -> None:
        self._listeners: set[Changes] = set()

    def publish(self, build: Build) -> None:
        """A build has changed, and that is on disk."""
        for listener in self._listeners:
            listener.put(build)

    @contextmanager
    def subscription(self) -> Iterator[Changes]:
        """Listen until the block ends."""
        changes = Changes()
        self._listeners.add(changes)
        try:
            yield changes
        finally:
            self._listeners.discard(changes)
