"""What is known of every instance's contents, on disk across a power cut; it decides nothing.

All of them are one value in `Slots`: what several tasks have put there meanwhile is kept by one writing.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from worker.slots import Slots
from worker.vm_state import GivenUp, Memory


class Memories:
    """One per worker. May be used by several threads."""

    def __init__(self, path: Path) -> None:
        self._slots = Slots(path)
        self._known = _parse(self._slots.read())
        self._guard, self._turn = threading.Lock(), threading.Lock()
        self._changes = self._kept = 0

    def of(self, instance: str) -> Memory:
        """What is known of an instance's contents; nothing where nothing was put."""
        with self._guard:
            return self._known.get(instance, Memory())

    def put(self, instance: str, memory: Memory) -> bool:
        """Know this from now on, which `keep` brings to disk; whether it is news. What is like nothing is forgotten."""
        with self._guard:
            if memory == self._known.get(instance, Memory()):
                return False
            self._changes += 1
            if memory == Memory():
                del self._known[instance]
            else:
                self._known[instance] = memory
            return True

    def keep(self) -> None:
        """Return when all that was put is on disk; at once where it is. Raises OSError: it is tried again next time."""
        with self._guard:
            wanted = self._changes
        with self._turn:
            if self._kept >= wanted:
                return  # whoever was before us took it along
            with self._guard:
                wanted, data = self._changes, _text(self._known)
            self._slots.write(data)
            self._kept = wanted


def _text(known: Mapping[str, Memory]) -> bytes:
    return json.dumps({instance: _row(memory) for instance, memory in sorted(known.items())}).encode()


def _row(memory: Memory) -> list[object]:
    given = memory.given_up
    return [memory.proven, [*given.key, given.reason] if given else None]


def _parse(data: bytes | None) -> dict[str, Memory]:
    """Nothing where it is not what we wrote: it is then found out again."""
    try:
        rows = json.loads(data or b"{}")
        return {str(instance): _memory(row) for instance, row in rows.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _memory(row: object) -> Memory:
    match row:
        case [str(proven), None]:
            return Memory(proven)
        case [str(proven), [int(generation), str(content), str(reason)]]:
            return Memory(proven, GivenUp((generation, content), reason))
    raise ValueError(f"no memory: {row!r:.100}")
