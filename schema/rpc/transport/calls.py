"""One call that came in: run at once, or as a trio task when it has to wait, or parked; it decides no rights."""

import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import trio

from schema.errors import ProcuratorError, Unavailable, Unimplemented
from schema.rpc.transport.faults import Fault, fault_of

Handler = Callable[[Any], "Coroutine[Any, Any, None] | Parked | None"]
"""Takes a `CallContext` (`params` to read, `results` to fill). Returns None when it is done, else the coroutine
that finishes the work in a trio task, or what it is parked as. A `ProcuratorError` from it comes out at the caller."""


class Handlers(Protocol):
    """A server's handlers: a dict of them, or what makes each when it is called."""

    def get(self, name: str, /) -> Handler | None:
        """The handler of a method, by its wire name; None: it has none."""


class Host(Protocol):
    """The connection that a call came over."""

    def spawn(self, call: "Call", pending: Coroutine[Any, Any, None]) -> None:
        """Have `call.run(pending)` run as a task, now or when there is room. Raises Unavailable."""

    def park(self, call: "Call") -> None:
        """Remember a call that waits without a task, so that it ends with the connection. Raises Unavailable."""

    def unpark(self, call: "Call") -> None:
        """It waits no more."""

    def soon(self, work: Callable[[], None]) -> None:
        """Run `work` when KJ is not at work."""


class Parked:
    """A call that waits for one thing and costs next to nothing meanwhile: no task, no stack."""

    __slots__ = ("_call", "_then", "forget")

    def __init__(self, then: Handler) -> None:
        """`then` goes on with the call as a handler of it."""
        self._then = then
        self._call: Call | None = None
        self.forget: Callable[[], None] | None = None
        """Called when the caller has given up: nobody is to be woken any more."""

    def wake(self) -> None:
        """Go on, here and now; nothing happens where the caller has given up."""
        call, self._call = self._call, None
        self.forget = None  # it knows us as we know it: a cycle for each wait would keep the collector busy
        if call is not None:
            call.go_on(self._then)

    def hold(self, call: "Call") -> None:
        """It is this call that waits."""
        self._call = call

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._call = None
        forget, self.forget = self.forget, None
        if forget is not None:
            forget()


class CallContext:
    """What a handler has of its call. Once the call is over, or given up, it has nothing: KJ's part is unsafe then."""

    __slots__ = ("_inner", "_over")

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._over = False

    @property
    def params(self) -> Any:
        """The arguments, a capnp reader."""
        return self._live().params

    @property
    def results(self) -> Any:
        """The results to fill, a capnp builder; not to be kept while waiting."""
        return self._live().results

    def release_params(self) -> None:
        """The arguments are not needed any more: a call that waits long costs little."""
        self._live().release_params()

    def give_up(self) -> None:
        """Nobody waits for the results any more."""
        self._over = True

    def end(self) -> None:
        """Let go of KJ's part; not inside a turn of KJ that may be destroying it."""
        self._over = True
        self._inner = None

    def _live(self) -> Any:
        if self._over:
            raise Unavailable("the caller is gone")
        return self._inner


class _Alive(threading.local):
    """Of each thread that has a loop of KJ's: what exists, which that loop must not end before."""

    def __init__(self) -> None:
        self.tickets = _Count()


class _Count:
    number = 0


_alive = _Alive()


class Ticket:
    """What KJ keeps of a call: the part of asyncio's `Task` that pycapnp uses.

    Apart from the call, so that a frame or traceback that still knows the call keeps nothing of KJ alive.
    """

    __slots__ = ("__weakref__", "_call", "_callback", "_counted", "_done", "_fault", "_fulfiller")

    def __init__(self, call: "Call") -> None:
        self._counted = _alive.tickets
        self._counted.number += 1
        self._call: Call | None = call
        self._callback: Callable[[Ticket], object] | None = None
        self._done = False
        self._fault: Fault | None = None
        self._fulfiller: Any = None

    def __del__(self) -> None:
        self._counted.number -= 1  # of the thread that made it: any may collect it

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


def calls_remain() -> bool:
    """Whether anything of a call that came in on this thread is still alive."""
    return _alive.tickets.number > 0


class Call(Coroutine[Any, Any, None]):
    """A call that came in. pycapnp takes it for a coroutine, and hands it to our loop to make a task of it."""

    __slots__ = ("_context", "_handler", "_host", "_parked", "_scope", "_ticket")

    def __init__(self, host: Host, handler: Handler, context: Any) -> None:
        self._host = host
        self._handler = handler
        self._context = CallContext(context)
        self._parked: Parked | None = None
        self._scope: trio.CancelScope | None = None
        self._ticket: Ticket | None = None

    def begin(self) -> Ticket:
        """Run the handler up to where it must wait."""
        ticket = self._ticket = Ticket(self)
        self.go_on(self._handler)
        return ticket

    def go_on(self, handler: Handler) -> None:
        """Run `handler`, the first one or the one after a wait, up to where it must wait."""
        if self._parked is not None:
            self._parked = None
            self._host.unpark(self)
        try:
            pending = handler(self._context)
        except Exception as error:  # the supervised edge: a bug in one handler ends one call
            self._finish(error)
            return
        if pending is None:
            self._finish(None)
        elif isinstance(pending, Parked):
            self._park(pending)
        else:
            self._spawn(pending)

    def _park(self, parked: Parked) -> None:
        try:
            self._host.park(self)
        except ProcuratorError as error:
            parked.give_up()
            self._finish(error)
            return
        self._parked = parked
        parked.hold(self)

    def _spawn(self, pending: Coroutine[Any, Any, None]) -> None:
        self._scope = trio.CancelScope()
        try:
            self._host.spawn(self, pending)
        except ProcuratorError as error:
            pending.close()
            self._finish(error)

    def cancel(self) -> None:
        """Stop the handler, wherever it is."""
        self._ticket = None
        self._context.give_up()
        if self._scope is not None:
            self._scope.cancel()
        if self._parked is not None:
            parked, self._parked = self._parked, None
            parked.give_up()
            self._host.unpark(self)
            self._host.soon(self._context.end)

    async def run(self, pending: Coroutine[Any, Any, None]) -> None:
        """Await what `begin` left to wait for."""
        error: Exception | None = Unavailable("the server is shutting down")
        try:
            with self._scope or trio.CancelScope():
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
        self._context.end()
        self._scope = None
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


def servant(interface: Any, handlers: Handlers, host: Host, *, dropped: Callable[[], None] | None = None) -> Any:
    """A server of `interface` whose calls, all over one connection, go to `handlers` by the method's wire name.

    A method without a handler answers `Unimplemented`. `dropped` is called when nobody refers to it any more.
    """
    key = interface.schema.node.id
    kind = _servants.get(key)
    if kind is None:
        names = sorted(interface.schema.method_names_inherited)
        methods: dict[str, Any] = {f"{name}_context": _method(name) for name in names}
        methods["__del__"] = _tell
        kind = _servants[key] = type(interface.schema.node.displayName, (interface.Server,), methods)
    server = kind()
    server.handlers = handlers
    server.host = host
    server.dropped = dropped
    return server


def _tell(self: Any) -> None:
    if self.dropped is not None:
        self.dropped()


def _method(name: str) -> Callable[[Any, Any], Call]:
    def refuse(_: Any) -> None:
        raise Unimplemented(f"this server does not have {name}")

    def call(self: Any, context: Any) -> Call:
        return Call(self.host, self.handlers.get(name) or refuse, context)

    return call
