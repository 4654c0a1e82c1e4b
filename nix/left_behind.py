"""Programs that a killed service started and that have not ended yet; it ends nobody else's."""

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

OURS = ("git", "nix")
"""How the names of such programs begin: an editor or a pager that has one of our files open is not among them."""
ENDS_SECONDS = 10.0


def end_left_behind(directory: Path) -> tuple[str, ...]:
    """At a service's start, before it starts any: kill each git and nix that names something below its `directory`.

    They are told to end when who started them dies, and the kernel gets round to it a moment later: until then they
    write to what the service takes up again. Returns what was running, once it runs no more (or after 10 s each).
    """
    ended = []
    for process in Path("/proc").glob("[0-9]*"):
        if not _is_left_behind(process, directory):
            continue
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(int(process.name))
            try:
                if told := _is_left_behind(process, directory):  # still the one that was looked at
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    select.select([descriptor], [], [], ENDS_SECONDS)
                    ended.append(told)
            finally:
                os.close(descriptor)
    return tuple(ended)


def _is_left_behind(process: Path, directory: Path) -> str:
    """Its command, if it is one of ours; empty otherwise."""
    try:
        name, arguments = (process / "comm").read_text().strip(), (process / "cmdline").read_bytes()
    except OSError:
        return ""
    if not name.startswith(OURS) or os.fsencode(f"{directory}/") not in arguments:
        return ""
    return arguments.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
