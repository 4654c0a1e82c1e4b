"""One repository's notes for CI, as files below `<repository>.git/procurator`; it sends nothing.

    outbox/<time>-<n>-<delivery>.json   written by the hook (or below, for what a hook missed), removed once CI took it
    aside/<same name>.json              refused by CI for good, with the reason
    told.json                           the refs as CI knows them (see `repohub.updates`)

Every call blocks on the disk for a few milliseconds: call it from a thread.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from repohub.updates import RefUpdate
from schema.disk import sync_directory

ASIDE_KEPT = 100
"""Refused notes kept for people to read; older ones are removed."""
NOTE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Note:
    """An update that waits to be told. `delivery` stays the same however often it is sent."""

    name: str
    delivery: str
    update: RefUpdate


@dataclass(frozen=True, slots=True)
class Refused:
    """An update that CI refused."""

    ref: str
    new: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outbox:
    """The notes of the repository at `repository`."""

    repository: Path

    @property
    def _waiting(self) -> Path:
        return self.repository / "procurator" / "outbox"

    @property
    def _aside(self) -> Path:
        return self.repository / "procurator" / "aside"

    @property
    def _told(self) -> Path:
        return self.repository / "procurator" / "told.json"

    def count(self) -> int:
        """How many notes wait."""
        return len(_names(self._waiting))

    def pending(self) -> tuple[Note, ...]:
        """The notes that wait, in the order in which they were written; a malformed one is put aside."""
        notes = []
        for name in _names(self._waiting):
            raw = (self._waiting / name).read_bytes()[:NOTE_BYTES]
            try:
                notes.append(_note(name, raw))
            except (ValueError, KeyError, TypeError) as error:
                self._put_aside(name, {"reason": f"this note is malformed: {error}"})
        return tuple(notes)

    def add(self, updates: tuple[RefUpdate, ...], *, deliveries: tuple[UUID, ...], now_ns: int) -> None:
        """Write one note for each update, behind all that wait; `now_ns` is Unix nanoseconds."""
        self._waiting.mkdir(parents=True, exist_ok=True)
        waiting = _names(self._waiting)
        after = max(now_ns, int(waiting[-1].split("-", 1)[0]) + 1 if waiting else 0)
        for index, (update, delivery) in enumerate(zip(updates, deliveries, strict=True)):
            event = {"delivery": str(delivery), "ref": update.ref, "old": update.old, "new": update.new}
            write_durably(self._waiting / f"{after:020d}-{index:05d}-{delivery}.json", json.dumps(event).encode())

    def delivered(self, note: Note) -> None:
        """Forget a note that CI has taken; a crash before this call only repeats the delivery."""
        (self._waiting / note.name).unlink(missing_ok=True)

    def refuse(self, note: Note, *, reason: str) -> None:
        """Put a note aside for good, with CI's reason."""
        update = note.update
        self._put_aside(
            note.name,
            {"delivery": note.delivery, "ref": update.ref, "old": update.old, "new": update.new, "reason": reason},
        )

    def refused(self) -> tuple[Refused, ...]:
        """What was put aside, the newest first."""
        found = []
        for name in reversed(_names(self._aside)):
            try:
                event = json.loads((self._aside / name).read_bytes())
                found.append(
                    Refused(ref=str(event.get("ref", "")), new=str(event.get("new", "")), reason=str(event["reason"]))
                )
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return tuple(found)

    def told(self) -> dict[str, str]:
        """The refs as CI knows them; nothing for a repository that CI has not heard of."""
        try:
            value = json.loads(self._told.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {str(ref): str(sha) for ref, sha in value.items()} if isinstance(value, dict) else {}

    def set_told(self, refs: Mapping[str, str]) -> None:
        """Remember what CI knows; done before the notes that say so are removed."""
        write_durably(self._told, json.dumps(dict(refs), sort_keys=True).encode())

    def clear_temporary(self) -> None:
        """Remove what a killed writer left; only at start, when none of ours writes."""
        for directory in (self._waiting, self._aside, self._told.parent):
            for leftover in directory.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)

    def _put_aside(self, name: str, event: dict[str, str]) -> None:
        self._aside.mkdir(parents=True, exist_ok=True)
        write_durably(self._aside / name, json.dumps(event).encode())
        (self._waiting / name).unlink(missing_ok=True)
        for old in _names(self._aside)[:-ASIDE_KEPT]:
            (self._aside / old).unlink(missing_ok=True)


def write_durably(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` as a whole, and return only when it is on disk (temp, fsync, rename, fsync of the directory)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        temporary.chmod(mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir() if entry.name[0].isdigit())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _note(name: str, raw: bytes) -> Note:
    event = json.loads(raw)
    delivery = str(UUID(str(event["delivery"])))
    ref, old, new = event["ref"], event["old"], event["new"]
    if not (isinstance(ref, str) and isinstance(old, str) and isinstance(new, str)):
        raise TypeError("ref, old and new are text")
    return Note(name=name, delivery=delivery, update=RefUpdate(ref=ref, old=old, new=new))
