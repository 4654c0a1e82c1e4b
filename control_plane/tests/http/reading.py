"""The program over HTTP for tests: settings with a token of each role, a cluster with something in it, a client."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from control_plane.settings import Settings
from control_plane.tests.builders import a_publish, a_spec
from control_plane.tests.live import LiveWorker, running, session, some_settings, until
from schema.blueprint import RolloutPolicy
from schema.interfaces import Role
from schema.rpc.transport.sockets import UnixAddress
from schema.status import Convergence

ROLES = (Role.VIEWER, Role.PUBLISHER, Role.OPERATOR, Role.ADMIN)
QUICK = RolloutPolicy(min_healthy_ms=100)


def secret(role: str) -> str:
    return f"secret-of-{role}"


def with_tokens(state: Path, **fields: Any) -> Settings:
    """Settings with a token of each role."""
    tokens = [
        {"name": role.value, "sha256": hashlib.sha256(secret(role).encode()).hexdigest(), "role": role.value}
        for role in ROLES
    ]
    return some_settings(state, tokens=tokens, **fields)


def by(role: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret(role)}"}


@asynccontextmanager
async def client_of(address: str, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=60, **options) as client:
        yield client


@asynccontextmanager
async def an_empty_cluster(state: Path, **fields: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a program that knows of nothing yet."""
    async with running(with_tokens(state, **fields)) as addresses, client_of(addresses["http"]) as client:
        yield client


@asynccontextmanager
async def a_cluster(state: Path, **fields: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a program with a worker, and two generations of five instances."""
    settings = with_tokens(state, **fields)
    async with running(settings) as addresses, trio.open_nursery() as nursery:
        nursery.start_soon(LiveWorker("w0").run, UnixAddress(settings.listen.socket))
        async with session(settings) as master:
            await until(master, lambda status: bool(status.workers))
            await master.publish_state(a_publish(1, a_spec("web", replicas=3), a_spec("db"), rollout=QUICK))
            await until(master, lambda status: status.convergence is Convergence.CONVERGED and bool(status.vms))
            await master.publish_state(a_publish(2, a_spec("web", "2", replicas=4), a_spec("db"), rollout=QUICK))
            await until(master, lambda status: len(status.vms) == 5 and status.convergence is Convergence.CONVERGED)
        async with client_of(addresses["http"]) as client:
            yield client
        nursery.cancel_scope.cancel()
