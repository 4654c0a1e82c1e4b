"""Talk to the control plane and CI from a command: open, run, and turn what went wrong into one error; no printing."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio

from cli.settings import Target
from schema.errors import InvalidInput, PermissionDenied, ProcuratorError, Unavailable
from schema.interfaces import Credential, Role, TokenCredential
from schema.rpc.client import RemoteMaster, open_session
from schema.rpc.reaching import reach

T = TypeVar("T")
INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell has it."""


def run_command(body: Callable[[], Awaitable[T]]) -> T:
    """Run `body` under trio. Raises the one ProcuratorError that ended it as itself, not inside a group.

    Ctrl-C is how a person ends what follows or waits, so it exits without a word.
    """
    try:
        return trio.run(body)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BaseExceptionGroup as group:
        found = list(_causes(group))
        if all(isinstance(cause, ProcuratorError) for cause in found):
            raise found[0] from group
        if any(isinstance(cause, KeyboardInterrupt) for cause in found):
            sys.exit(INTERRUPTED)
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error


ELSE = {Role.VIEWER: Role.PUBLISHER}
"""What only looks is also done as a publisher, who may follow what it publishes: each call is checked by its role."""


@asynccontextmanager
async def control_plane(target: Target, role: Role) -> AsyncIterator[RemoteMaster]:
    """A session with the control plane, as `role` or as one that contains what it is for.

    Raises PermissionDenied when the credential may be neither, and Unavailable; with the ways to say where the control
    plane is, if it was not reached.
    """
    address = reach(target.address, ca=target.ca, server_name=target.server_name, plaintext=target.plaintext)
    credential = _credential(target.token_file)
    reached = False
    try:
        async with AsyncExitStack() as stack:
            try:
                master = await stack.enter_async_context(open_session(address, role, credential))
            except PermissionDenied as refused:
                if role not in ELSE:
                    raise
                master = await _as_another(stack, open_session(address, ELSE[role], credential), refused)
            reached = True
            yield master
    except Unavailable as error:
        if reached:
            raise
        raise Unavailable(f"{error.message}; start it with `pcr up`, or name another by --connect ADDRESS") from error


async def _as_another(
    stack: AsyncExitStack, session: AbstractAsyncContextManager[RemoteMaster], refused: PermissionDenied
) -> RemoteMaster:
    try:
        return await stack.enter_async_context(session)
    except PermissionDenied:
        raise refused from None


def _credential(token_file: Path | None) -> Credential | None:
    """The token, if one is configured; else the process's uid stands for us. Raises InvalidInput, PermissionDenied."""
    if token_file is None:
        return None
    try:
        mode = token_file.stat().st_mode
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"token file {token_file}: {error}") from error
    if mode & 0o077:
        raise PermissionDenied(f"token file {token_file} can be used by others: chmod 0600 it")
    if not token:
        raise InvalidInput(f"token file {token_file} is empty")
    return TokenCredential(token)
