"""The files of a snapshot: `config.json`, `state.json` and `memory-ranges` in a directory; it reads no memory itself.

The first has the names and form of the real one; the other two are the dev hypervisor's own, which only it can restore.
`state.json` comes last: a directory without it holds no whole snapshot.
"""

import json
import os

from worker.vmm.dev.answers import GuestFailed
from worker.vmm.dev.slots import FIRST, LAST, Slots
from worker.vmm.dev.snapshot import Snapshot
from worker.vmm.dev.vm_config import number, section

CONFIG, STATE, MEMORY = "config.json", "state.json", "memory-ranges"
FORMAT = "procurator-vmm 1"
MOST_BYTES = 1 << 20


def begin(folder: str) -> int:
    """A descriptor to write the memory to; what was saved there before is void from now on. Raises OSError."""
    try:
        os.unlink(f"{folder}/{STATE}")  # noqa: PTH108 - pathlib is not loaded for one call
    except FileNotFoundError:
        if not os.path.isdir(folder):  # noqa: PTH112 - as above
            raise
    return os.open(f"{folder}/{MEMORY}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def finish(folder: str, snapshot: Snapshot, memory: int) -> None:
    """Make the snapshot whole once its memory is written; raises OSError."""
    os.fsync(memory)
    state = {
        "format": FORMAT,
        "slots": snapshot.slots.taken,
        "next_name": snapshot.next_name,
        "balloon_bytes": snapshot.balloon_bytes,
    }
    for name, content in ((CONFIG, snapshot.config), (STATE, json.dumps(state).encode())):
        _write(folder, name, content)


def load(folder: str) -> Snapshot:
    """What a snapshot says. Raises OSError, and GuestFailed when it is none of ours."""
    config, said = (_read(f"{folder}/{name}") for name in (CONFIG, STATE))
    try:
        state = json.loads(said)
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise GuestFailed(f"{folder}: the snapshot is not one of the dev hypervisor's")
    slots = {str(name): number(slot) for name, slot in section(state, "slots").items()}
    if not all(FIRST <= slot <= LAST for slot in slots.values()) or len({*slots.values()}) != len(slots):
        raise GuestFailed(f"{folder}: the snapshot's slots are not slots")
    return Snapshot(config, Slots(slots), number(state.get("next_name")), number(state.get("balloon_bytes")))


def open_memory(folder: str) -> int:
    """A descriptor to read the memory from; raises OSError."""
    return os.open(f"{folder}/{MEMORY}", os.O_RDONLY | os.O_CLOEXEC)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(MOST_BYTES)


def _write(folder: str, name: str, content: bytes) -> None:
    fresh = f"{folder}/.{name}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    os.rename(fresh, f"{folder}/{name}")  # noqa: PTH104 - as above
