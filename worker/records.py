"""What the worker keeps on disk across its own end: the assignment, the lease, each VM's memory and what it booted.

A reader sees all of one version of a file or all of another. What outlives a power cut is on disk when it is kept; what
speaks of running processes need not be. It decides nothing.
"""

import json
import os
from itertools import accumulate
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, ValidationError

from schema.assignment import SignedAssignment
from schema.disk import sync_directory
from schema.errors import ProcuratorError
from schema.names import WireModel
from worker.memories import Memories
from worker.slots import Slots
from worker.vm_state import Attachment, Content, Memory
from worker.vmm.fence import boot_id, read_deadline

M = TypeVar("M", bound=BaseModel)


class _Head(WireModel):
    """Before the bytes of the kept assignment: its signature, and the sizes of its data and intent documents."""

    signature: str
    sizes: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)


class _Earlier(WireModel):
    generation: int
    spec: str


class _Booted(WireModel):
    generation: int
    spec: str
    address: str
    gateway: str
    mac: str
    earlier: _Earlier | None = None


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` by `data` (0600), whoever dies meanwhile; a power cut may lose it.

    For what speaks of processes: after a power cut there are none. A sync takes longer than a start.
    """
    _write(path, data, synced=False)


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path` by `data` (0600), on disk before this returns."""
    _write(path, data, synced=True)
    sync_directory(path.parent)


def _write(path: Path, data: bytes, *, synced: bool) -> None:
    fresh = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if synced:
            os.fsync(file.fileno())
    fresh.replace(path)


def _read(model: type[M], path: Path) -> M | None:
    """None where the file is missing or is not what we wrote: it is then made again from what is assigned."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


class Records:
    """The records below the worker's `state` directory."""

    def __init__(self, state: Path) -> None:
        self._assignment = Slots(state / "assignment")
        self.memories = Memories(state / "memories")
        self._booted = state / "booted"
        self.lease_file = state / "lease.json"

    def keep_assignment(self, signed: SignedAssignment) -> None:
        """Keep the last assignment as it was signed: after a power cut it is checked and obeyed again."""
        head = _Head(signature=signed.signature, sizes=tuple(map(len, (signed.data, *signed.intents))))
        parts = (head.model_dump_json(by_alias=True).encode(), b"\n", signed.data, *signed.intents)
        self._assignment.write(b"".join(parts))

    def kept_assignment(self) -> SignedAssignment | None:
        """The assignment that was kept last, if any; nothing of it has been checked."""
        text, _, rest = (self._assignment.read() or b"").partition(b"\n")
        try:
            head = _Head.model_validate_json(text)
        except ValidationError:
            return None  # of another version, or none
        if sum(head.sizes) != len(rest):
            return None
        ends = tuple(accumulate(head.sizes))
        data, *intents = (rest[end - size : end] for end, size in zip(ends, head.sizes, strict=True))
        return SignedAssignment(data, head.signature, tuple(intents))

    def keep_lease(self, deadline_ns: int) -> None:
        """Write until when fenced singletons may run: their shims go by this file. CLOCK_BOOTTIME, ns.

        Not synced: after a power cut no VM is there that it could speak of. Raises OSError, having changed nothing.
        """
        fresh = self.lease_file.with_name(f".{self.lease_file.name}.new")
        fresh.write_text(json.dumps({"bootId": boot_id(), "deadlineNs": deadline_ns}), encoding="ascii")
        fresh.replace(self.lease_file)

    def kept_lease(self) -> int:
        """The deadline that was written last, 0 where there is none of this run of the machine."""
        return read_deadline(str(self.lease_file)) or 0

    def keep_booted(
        self, instance: str, content: Content, attachment: Attachment, *, earlier: Content | None = None
    ) -> None:
        """Keep what is about to be booted, before it is; of a switch in place also what it was until then.

        Which of both runs is what the runtime directory's record says.
        """
        kept = _Booted(
            generation=content.generation,
            spec=content.text,
            address=attachment.address,
            gateway=attachment.gateway,
            mac=attachment.mac,
            earlier=_Earlier(generation=earlier.generation, spec=earlier.text) if earlier else None,
        )
        write_whole(self._booted / f"{instance}.json", kept.model_dump_json(by_alias=True).encode())

    def booted(self, instance: str) -> tuple[tuple[Content, ...], Attachment] | None:
        """What was booted last for an instance, or switched to; with that, what it was until then comes second."""
        kept = _read(_Booted, self._booted / f"{instance}.json")
        if kept is None:
            return None
        try:
            contents = [Content.parse(one.generation, one.spec) for one in (kept, kept.earlier) if one]
        except ProcuratorError:
            return None
        return tuple(contents), Attachment(kept.address, kept.gateway, kept.mac)

    def booted_instances(self) -> tuple[str, ...]:
        """All instances that have ever been booted here and were not removed since."""
        return tuple(sorted(file.stem for file in self._booted.glob("[!.]*.json")))

    def forget_booted(self, instance: str) -> None:
        """What was booted does not run any more."""
        (self._booted / f"{instance}.json").unlink(missing_ok=True)

    def forget(self, instance: str) -> None:
        """Drop what is kept of an instance that left; its volumes are not among it. `memories.keep` is the caller's."""
        self.memories.put(instance, Memory())
        self.forget_booted(instance)
