"""Waits for the end of processes of which a test leaves none; it ends none itself."""

from contextlib import suppress
from pathlib import Path

import trio


async def until_none_names(word: bytes) -> None:
    """Wait until no process on this machine has `word` in its arguments: what was killed ends a moment later."""
    with trio.fail_after(60):
        while any(word in arguments for arguments in _all_arguments()):  # noqa: ASYNC110 - they are nobody's children
            await trio.sleep(0.02)


def _all_arguments() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found.append(path.read_bytes())
    return found
