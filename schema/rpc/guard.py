"""Who is behind a capability: asked before every call, and again and again while something long is held."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from schema.errors import PermissionDenied, ProcuratorError, Unauthenticated
from schema.interfaces import Backend, Identity
from schema.rpc.handlers import Release
from schema.rpc.rights import allows
from schema.rpc.transport.connection import Connection

RECHECK_SECONDS = 1.0
"""How often what a session holds is looked at again while no call of it comes."""


class Session:
    """One identity on one connection, as far as its role reaches and for as long as its credential holds."""

    def __init__(self, backend: Backend, identity: Identity, connection: Connection) -> None:
        self._backend = backend
        self._connection = connection
        self._held: dict[object, tuple[str, Callable[[], None]]] = {}
        self._patrolled = False
        self.identity = identity

    def check(self, method: str) -> None:
        """Raises Unauthenticated once the session is over, and PermissionDenied for what its role may not."""
        if not self._backend.is_valid(self.identity):
            raise self._refused(
                method, Unauthenticated("the session is over: its credential was revoked or has expired")
            )
        if not allows(self.identity.role, method):
            raise self._refused(method, PermissionDenied(f"role {self.identity.role} may not call {method}"))

    def _refused(self, method: str, error: ProcuratorError) -> ProcuratorError:
        self._backend.refused(self.identity, method, error)
        return error

    def hold(self, method: str, end: Callable[[], None]) -> Release:
        """Have `end` called once `method` may not be called any more. Call what is returned when it is over anyway."""
        key = object()
        self._held[key] = (method, end)
        if not self._patrolled:
            self._patrolled = True
            self._connection.start(self._patrol)

        def release() -> None:
            self._held.pop(key, None)

        return release

    @contextmanager
    def holding(self, method: str) -> Iterator[None]:
        """End the body once `method` may not be called any more, with the error that says why."""
        with trio.CancelScope() as scope:
            release = self.hold(method, scope.cancel)
            try:
                yield
            finally:
                release()
        if scope.cancelled_caught:
            self.check(method)

    async def _patrol(self) -> None:
        try:
            while self._held:
                await trio.sleep(RECHECK_SECONDS)
                for key, (method, end) in list(self._held.items()):
                    if not self._may(method):
                        self._held.pop(key, None)
                        end()
        finally:
            self._patrolled = False

    def _may(self, method: str) -> bool:
        try:
            self.check(method)
        except ProcuratorError:
            return False
        return True
