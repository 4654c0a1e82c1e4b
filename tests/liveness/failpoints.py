"""Points at which a program of the tests is told to be killed or stopped: by a file, so exactly there and once."""

import os
import signal
from pathlib import Path

POINTS = ("before-send", "received", "before-answer", "answered", "before-write", "written")
"""Of a renewal, in their order; the second and third are in the control plane. `-WORKER` follows in their names."""


class Failpoints:
    """`directory` is shared by all programs of a test; a file named for a point holds `SIGNAL PID`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def set(self, point: str, *, number: signal.Signals, pid: int) -> None:
        """The next program that comes by `point` sends `number` to `pid`, which may be its own."""
        fresh = self._directory / f".{point}"
        fresh.write_text(f"{number.value} {pid}")
        fresh.replace(self._directory / point)

    def is_set(self, point: str) -> bool:
        return (self._directory / point).exists()

    def at(self, point: str) -> None:
        """Here is `point`."""
        file = self._directory / point
        try:
            number, pid = file.read_text().split()
            file.unlink()
        except FileNotFoundError:
            return
        os.kill(int(pid), int(number))
