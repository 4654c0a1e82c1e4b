"""What a snapshot says beside the guest's memory, as a value; `snapshot_files.py` reads and writes the files."""

from typing import NamedTuple

from worker.vmm.dev.slots import Slots


class Snapshot(NamedTuple):
    """`config` is JSON that is not checked yet."""

    config: bytes
    slots: Slots
    next_name: int
    balloon_bytes: int
