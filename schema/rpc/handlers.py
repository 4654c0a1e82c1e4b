"""From a call on the wire to one of a Protocol and back: decode, check, call, encode; it grants no rights."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from schema.errors import Unimplemented
from schema.rpc.transport.calls import Handler, Parked

A = TypeVar("A")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


Release = Callable[[], None]
"""Says that what was held is over."""


class Guard(Protocol):
    """Who is calling."""

    def check(self, method: str) -> None:
        """Raises PermissionDenied or Unauthenticated when `Interface.method` may not be called now."""

    def hold(self, method: str, end: Callable[[], None]) -> Release:
        """Have `end` called once `Interface.method` may not be called any more."""

    def holding(self, method: str) -> AbstractContextManager[None]:
        """End the body once `Interface.method` may not be called any more, with the error that says why."""


def immediate(method: F) -> F:
    """Mark an `async def` that never waits: it is run where the call arrives, without a task.

    One that waits nevertheless fails as a bug.
    """
    method.__immediate__ = True  # type: ignore[attr-defined] # a mark of our own
    return method


def at_once(pending: Coroutine[Any, Any, R]) -> R:
    """The value of a coroutine that does not wait."""
    try:
        pending.send(None)
    except StopIteration as stop:
        value: R = stop.value
        return value
    pending.close()
    raise RuntimeError(f"{pending} is marked @immediate and waits")


def method(
    *,
    read: Callable[[Any], A],
    call: Callable[[A], Coroutine[Any, Any, R]],
    write: Callable[[Any, R], None],
    target: Callable[..., Any] | None = None,
) -> Handler:
    """A handler that reads its arguments from `params` and writes the value into `results`.

    `target` is the Protocol's method behind `call`, where `call` is not that method itself.
    """
    if getattr(target or call, "__immediate__", False):

        def now(context: Any) -> None:
            write(context.results, at_once(call(read(context.params))))

        return now

    def later(context: Any) -> Coroutine[Any, Any, None]:
        argument = read(context.params)
        context.release_params()
        return _wait(context, write, call, argument)

    return later


def answered(
    context: Any, call: Callable[..., Coroutine[Any, Any, R]], *arguments: Any, write: Callable[[Any, R], None]
) -> Coroutine[Any, Any, None] | None:
    """Make a call whose arguments were read, now or as a task, and write what it answers."""
    if getattr(call, "__immediate__", False):
        write(context.results, at_once(call(*arguments)))
        return None
    context.release_params()
    return _wait(context, write, call, *arguments)


async def _wait(
    context: Any, write: Callable[[Any, R], None], call: Callable[..., Coroutine[Any, Any, R]], *arguments: Any
) -> None:
    write(context.results, await call(*arguments))


def guarded(name: str, interface: Any, guard: Guard, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """A handler for every method of `interface`: each asks `guard` first.

    So do methods without a handler, which are refused: who may not call one does not learn whether it is there.
    """

    def checked(method_name: str) -> Handler:
        full = f"{name}.{method_name}"
        handler = handlers.get(method_name)

        def run(context: Any) -> Coroutine[Any, Any, None] | Parked | None:
            guard.check(full)
            if handler is None:  # a method of a schema that is newer than this server
                raise Unimplemented(f"this server does not have {full}")
            return handler(context)

        return run

    return {each: checked(each) for each in interface.schema.method_names}


def nothing(_: Any) -> None:
    """Read no arguments."""


def no_results(_: Any, __: None) -> None:
    """Write no results."""
