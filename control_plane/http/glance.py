"""The cluster's status for readers who come often: made anew only when the last one is old; it decides nothing.

A status of 30,000 VMs takes half a second to make, in which nothing else happens. However many ask, no more than one
third of the time goes into it; of a small cluster each gets his own.
"""

from collections.abc import Callable

from schema.status import ClusterStatus

REST = 2.0
"""How many times as long as it took to make it a status is good for."""


class Glance:
    """`seconds` is a clock that never jumps."""

    def __init__(self, status: Callable[[], ClusterStatus], *, seconds: Callable[[], float]) -> None:
        self._status = status
        self._seconds = seconds
        self._last: ClusterStatus | None = None
        self._good_until = 0.0

    def __call__(self) -> ClusterStatus:
        """The status of now, or of a moment ago."""
        began = self._seconds()
        if self._last is None or began >= self._good_until:
            self._last = self._status()
            done = self._seconds()
            self._good_until = done + REST * (done - began)
        return self._last
