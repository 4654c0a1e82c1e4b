"""Trio's side of KJ: a promise that trio tasks await, and the task that turns KJ's loop when nobody else does."""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import trio


class Scheduler(Protocol):
    """What a reply needs of the loop."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> object:
        """Run `callback` in the next turn."""


class Reply:
    """A value that KJ will set: the part of asyncio's `Future` that pycapnp uses, awaited by one trio task.

    Cancelling the waiting task drops KJ's promise, which tells the peer that the call was given up.
    """

    __slots__ = ("_callbacks", "_cancelled", "_done", "_error", "_loop", "_task", "_value", "kjpromise")

    def __init__(self, loop: Scheduler) -> None:
        self._loop = loop
        self._callbacks: list[Callable[[Reply], object]] = []
        self._done = self._cancelled = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._task: trio.lowlevel.Task | None = None
        self.kjpromise: Any = None

    def set_result(self, value: Any) -> None:
        """Called by KJ."""
        self._value = value
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        """Called by KJ."""
        self._error = error
        self._finish()

    def cancelled(self) -> bool:
        """Whether nobody waits for the value any more."""
        return self._cancelled

    def add_done_callback(self, callback: "Callable[[Reply], object]") -> None:
        """Called with this reply when it is cancelled; pycapnp drops the promise there."""
        self._callbacks.append(callback)

    def _finish(self) -> None:
        self._done = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._cancelled = self._done = True
        self._task = None
        # In a turn of its own: trio cancels from anywhere, and a KJ event must not destroy others under way.
        self._loop.call_soon(self._drop)
        return trio.lowlevel.Abort.SUCCEEDED

    def _drop(self) -> None:
        for callback in self._callbacks:
            callback(self)
        self._callbacks.clear()
        self.kjpromise = None

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._done:
            self._task = trio.lowlevel.current_task()
            yield from trio.lowlevel.wait_task_rescheduled(self._abort).__await__()  # noqa: ASYNC105 # by hand
        # Promise and callbacks refer to this object: without this, each call leaves a cycle for the collector.
        self._callbacks.clear()
        self.kjpromise = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._value


class Pump:
    """The task that turns the loop when a turn was asked for from outside of one."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._parked: trio.lowlevel.Task | None = None
        self._wanted = False
        self._scope = trio.CancelScope()

    def start(self) -> None:
        """Start it as a system task: it belongs to all connections of the thread, in whatever order they end."""
        trio.lowlevel.spawn_system_task(self._run)

    def wake(self) -> None:
        """Have a turn soon; many wishes make one."""
        self._wanted = True
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    def stop(self) -> None:
        """End the task."""
        self._scope.cancel()

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def _run(self) -> None:
        with self._scope:
            while True:
                if not self._wanted:
                    self._parked = trio.lowlevel.current_task()
                    await trio.lowlevel.wait_task_rescheduled(self._abort)
                self._wanted = False
                self._turn()
                await trio.lowlevel.checkpoint()


@contextmanager
def uninstrumented() -> Iterator[None]:
    """Clear the async-generator hooks: Cython's generators lack the `ag_frame` that trio's hook looks at."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
