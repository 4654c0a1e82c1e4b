"""One call that came in: run at once, or as a trio task when it has to wait; it decides nothing about rights."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import trio

from schema.errors import ProcuratorError, Unavailable, Unimplemented
from schema.rpc.transport.faults import Fault, fault_of

Handler = Callable[[Any], Coroutine[Any, Any, None] | None]
"""Takes pycapnp's call context (`params` to read, `results` to fill). Returns None when it is done, else the
coroutine that finishes the work in a trio task. A `ProcuratorError` that it raises comes out at the caller."""


Run = Callable[[Coroutine[Any, Any, None], trio.CancelScope], Coroutine[Any, Any, None]]


class Host(Protocol):
    """The connection that a call came over."""

    def spawn(self, run: Run, pending: Coroutine[Any, Any, None], scope: trio.CancelScope) -> None:
        """Run a call's coroutine as a task, now or when there is room. Raises Unavailable when there is none."""


class Ticket:
    """What KJ keeps of a call: the part of asyncio's `Task` that pycapnp uses.

    Apart from the call, so that a frame or traceback that still knows the call keeps nothing of KJ alive.
    """

    __slots__ = ("__weakref__", "_call", "_callback", "_done", "_fault", "_fulfiller")

    def __init__(self, call: "Call") -> None:
        self._call: Call | None = call
        self._callback: Callable[[Ticket], object] | None = None
        self._done = False
        self._fault: Fault | None = None
        self._fulfiller: Any = None

    def finish(self, fault: Fault | None) -> None:
        """The call is over: tell KJ."""
        self._done, self._fault, self._call = True, fault, None
        if self._callback is not None:
            callback, self._callback = self._callback, None
            callback(self)

    def add_done_callback(self, callback: "Callable[[Ticket], object]") -> None:
        """KJ wants to know when the answer is complete."""
        if self._done:
            callback(self)
        else:
            self._callback = callback

    def cancel(self) -> None:
        """The caller gave up, or is gone."""
        self._callback = None
        if self._call is not None:
            self._call.cancel()

    def cancelled(self) -> bool:
        """Always false: a cancelled handler's answer is a fault, or nobody waits for it."""
        return False

    def exception(self) -> BaseException | None:
        """What the caller is told."""
        return self._fault

    def result(self) -> None:
        """Results are in the context."""


class Call(Coroutine[Any, Any, None]):
    """A call that came in. pycapnp takes it for a coroutine, and hands it to our loop to make a task of it."""

    __slots__ = ("_context", "_handler", "_host", "_scope", "_ticket")

    def __init__(self, host: Host, handler: Handler, context: Any) -> None:
        self._host = host
        self._handler = handler
        self._context = context
        self._scope: trio.CancelScope | None = None
        self._ticket: Ticket | None = None

    def begin(self) -> Ticket:
        """Run the handler up to where it must wait."""
        ticket = self._ticket = Ticket(self)
        self._start()
        return ticket

    def _start(self) -> None:
        try:
            pending = self._handler(self._context)
        except Exception as error:  # the supervised edge: a bug in one handler ends one call
            self._finish(error)
            return
        if pending is None:
            self._finish(None)
            return
        scope = self._scope = trio.CancelScope()
        try:
            self._host.spawn(self._run, pending, scope)
        except ProcuratorError as error:
            pending.close()
            self._finish(error)

    def cancel(self) -> None:
        """Stop the handler, wherever it is."""
        self._ticket = None
        if self._scope is not None:
            self._scope.cancel()

    async def _run(self, pending: Coroutine[Any, Any, None], scope: trio.CancelScope) -> None:
        error: Exception | None = Unavailable("the server is shutting down")
        try:
            with scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                await pending
                error = None
        except Exception as failure:  # the supervised edge, as above
            error = failure
        finally:
            self._finish(error)
            pending.close()
            del error, pending

    def _finish(self, error: Exception | None) -> None:
        self._context = self._scope = None
        if self._ticket is not None:
            self._ticket.finish(None if error is None else fault_of(error))
            self._ticket = None

    # As a coroutine, which pycapnp only looks at.

    def send(self, value: Any) -> Any:
        """Never called: `begin` runs the call."""
        raise NotImplementedError

    def throw(self, *error: Any) -> Any:
        """Never called."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""

    def __await__(self) -> Any:
        raise NotImplementedError


_servants: dict[int, type] = {}


def servant(interface: Any, handlers: Mapping[str, Handler], host: Host) -> Any:
    """A server of `interface` whose calls, all over one connection, go to `handlers` by the method's wire name.

    A method without a handler answers `Unimplemented`.
    """
    key = interface.schema.node.id
    kind = _servants.get(key)
    if kind is None:
        names = sorted(interface.schema.method_names_inherited)
        methods = {f"{name}_context": _method(name) for name in names}
        kind = _servants[key] = type(interface.schema.node.displayName, (interface.Server,), methods)
    server = kind()
    server.handlers = handlers
    server.host = host
    return server


def _method(name: str) -> Callable[[Any, Any], Call]:
    def refuse(_: Any) -> None:
        raise Unimplemented(f"this server does not have {name}")

    def call(self: Any, context: Any) -> Call:
        return Call(self.host, self.handlers.get(name, refuse), context)

    return call
