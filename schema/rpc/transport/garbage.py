"""Has Python look for unreachable cycles on KJ's thread alone, while KJ's loop is there; it breaks no cycle itself.

What KJ made must be destroyed on its own thread: elsewhere, and after its loop has ended, KJ ends the process. Python
however looks for cycles on whichever thread happens to allocate, and an exception with its traceback is enough to have
one that holds a capability. So this is switched off, and done between two waits of trio's instead.
"""

import gc
import threading

import trio

_REST = 20
"""After a look at the young, so many times as long as it took without another, and after a full one likewise: what dies
of itself meanwhile costs none. Else looks are a third of the work while a control plane hears from a whole fleet."""
_WHOLE_SECONDS = 600.0
"""How often everything is looked at. In between a full look is at what came since the last one: what survived that is
set aside, since a look at all that a control plane knows of a large fleet stops it for half a second."""


class _Switch:
    """Python's own collector: off while anybody holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._was_on = False

    def hold(self) -> None:
        """Switch it off, if it is not yet."""
        with self._lock:
            if self._holders == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._holders += 1

    def let_go(self) -> None:
        """Switch it on again after the last holder, if it was on before the first."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0 and self._was_on:
                gc.enable()


_switch = _Switch()


class Collector(trio.abc.Instrument):
    """Collects on the thread that it was started on, by Python's own thresholds, whenever trio is about to wait."""

    def __init__(self) -> None:
        self.waits = False
        """Whether looks are put off for a while: there is something more urgent."""
        self._not_before = 0.0
        self._young_not_before = 0.0
        self._whole_at = 0.0

    def start(self) -> None:
        """From now on cycles are looked for here, and nowhere else."""
        now = trio.current_time()  # each run of trio has a clock of its own
        self._not_before = self._young_not_before = now
        self._whole_at = now + _WHOLE_SECONDS
        _switch.hold()
        trio.lowlevel.add_instrument(self)

    def stop(self) -> None:
        """Look once more, so that nothing of KJ's is left in a cycle, and leave it to Python again."""
        trio.lowlevel.remove_instrument(self)
        gc.unfreeze()
        gc.collect()
        _switch.let_go()

    def before_io_wait(self, timeout: float) -> None:
        """Called by trio, often: it has to cost next to nothing while there is nothing to do."""
        del timeout
        young, middle, old = gc.get_count()
        most_young, most_middle, most_old = gc.get_threshold()
        if not most_young or young <= most_young or self.waits:
            return
        began = trio.current_time()
        if old > most_old and middle > most_middle and began >= self._not_before:
            self._look_at_what_survived(began)
            self._not_before = _rested(began)
        elif began >= self._young_not_before:
            gc.collect(0 if middle <= most_middle else 1)
            self._young_not_before = _rested(began)

    def _look_at_what_survived(self, now: float) -> None:
        if now >= self._whole_at:
            gc.unfreeze()
            self._whole_at = now + _WHOLE_SECONDS
        gc.collect()
        gc.freeze()


def _rested(began: float) -> float:
    ended = trio.current_time()
    return ended + _REST * (ended - began)
