"""A paused QEMU's memory and devices, written to a file and read from one, by migration; it knows no snapshot."""

import time

from worker.vmm.dev.answers import GuestFailed, Json
from worker.vmm.dev.qmp import Qmp, QmpGone, QmpSilent

SAVE_SECONDS = 120.0
LOAD_SECONDS = 120.0
_PAUSE_SECONDS = 0.005
_UNLIMITED = 2**40
"""Bytes a second; 128 MiB would be the limit unasked."""
_NAME = "saved"


def write_memory(qmp: Qmp, descriptor: int, *, seconds: float = SAVE_SECONDS) -> None:
    """Write the guest to an open file, and leave it paused; raises GuestFailed, also when it takes too long."""
    deadline = time.monotonic() + seconds
    try:
        qmp.execute("migrate-set-parameters", {"max-bandwidth": _UNLIMITED})
        qmp.execute("getfd", {"fdname": _NAME}, descriptor=descriptor)
        qmp.execute("migrate", {"uri": f"fd:{_NAME}"})
        while (status := _migration(qmp)) not in ("completed", "failed", "cancelled"):
            if time.monotonic() > deadline:
                qmp.execute("migrate_cancel")
                raise GuestFailed("Cannot snapshot VM", f"QEMU did not write the guest within {seconds:g} s")
            time.sleep(_PAUSE_SECONDS)
    except QmpGone as gone:
        raise GuestFailed("Cannot snapshot VM", str(gone)) from gone
    if status != "completed":
        raise GuestFailed("Cannot snapshot VM", f"QEMU's migration {status}")


def await_memory(qmp: Qmp, *, seconds: float = LOAD_SECONDS) -> None:
    """Wait until a QEMU that was started with `-incoming` has read the guest; raises QmpGone when it has not."""
    deadline = time.monotonic() + seconds
    while _field(qmp.execute("query-status"), "status") == "inmigrate":
        if time.monotonic() > deadline:
            raise QmpSilent(f"the saved guest was not read within {seconds:g} s")
        time.sleep(_PAUSE_SECONDS)


def _migration(qmp: Qmp) -> str:
    return _field(qmp.execute("query-migrate"), "status")


def _field(answer: object, name: str) -> str:
    found: Json = answer if isinstance(answer, dict) else {}
    return str(found.get(name))
