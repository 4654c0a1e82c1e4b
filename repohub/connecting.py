"""Opens sessions with the control plane as a viewer, by its unix socket or by address and token; it asks nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from repohub.settings import ControlPlaneSettings
from repohub.tokens import read_token
from repohub.watching import Connect
from schema.errors import InvalidInput, Unauthenticated
from schema.interfaces import Credential, Master, PeerCredential, Role, TokenCredential
from schema.rpc.client import open_session


def connect_to(settings: ControlPlaneSettings) -> Connect | None:
    """How to reach the control plane that the settings name; None when they name none."""
    address = settings.reached
    if address is None:
        return None

    @asynccontextmanager
    async def connect() -> AsyncIterator[Master]:
        credential: Credential = PeerCredential()
        if settings.token_file is not None:
            try:
                credential = TokenCredential(await trio.to_thread.run_sync(read_token, settings.token_file))
            except InvalidInput as error:
                raise Unauthenticated(error.message) from None
        async with open_session(address, Role.VIEWER, credential) as session:
            yield session

    return connect
