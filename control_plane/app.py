"""The program `procurator-control-plane`: its clocks, keys and listeners, wired together; it decides nothing."""

import gc
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from control_plane.allocator import map_large_blocks
from control_plane.backend import ControlPlaneBackend
from control_plane.events import OriginPinned, StateEvent
from control_plane.http.access import Policy as HttpPolicy
from control_plane.http.app import http_app
from control_plane.http.metrics import Metrics
from control_plane.http.served import Served
from control_plane.identity.admission import Policy
from control_plane.identity.gate import GateRules
from control_plane.identity.tokens import ConfiguredToken
from control_plane.plan import Limits
from control_plane.service import Clock, ControlPlane
from control_plane.settings import Settings
from control_plane.state import Snapshot
from control_plane.store.database import Database, open_database
from schema.errors import InvalidInput
from schema.http import serve_http
from schema.interfaces import Role
from schema.origin import Origin
from schema.rpc.server import serve_control_plane
from schema.rpc.transport.sockets import Address, TcpAddress, UnixAddress
from schema.service import Ready, procurator_version, service_main
from schema.signing import SecretKey, parse_public_keys

SHARED_SOCKET = 0o666
"""Any uid may connect where `[socket.roles]` names some: the kernel tells us who it is, and the rest get no role."""
OWN_SOCKET = 0o600
COLLECT_AFTER = (50_000, 20, 100)
"""Python's own thresholds are for small programs: here hundreds of thousands of objects live long, none in a cycle."""


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """CLOCK_BOOTTIME: it does not jump, and goes on while the machine is suspended."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def new_epoch() -> str:
    """128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def read_key(path: Path) -> SecretKey:
    """The key that signs assignments. Raises InvalidInput that names the file and never shows what is in it."""
    return SecretKey.parse(read_secret(path, what="[keys] assignment"))


def read_secret(path: Path, *, what: str) -> str:
    """What a file of the settings holds. Raises InvalidInput for one that cannot be read, or that others can read."""
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(f"{what}: cannot read {path}: {reason}") from error
    if mode & 0o077:
        raise InvalidInput(f"{what}: {path} has mode {mode:04o}, so others can read it: chmod 600 it")
    return text


def read_password(path: Path) -> str:
    """The database's password. Raises InvalidInput that names the file and never shows what is in it."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(f"[database] password_file: cannot read {path}: {reason}") from error


def control_plane_of(settings: Settings, database: Database, *, key: SecretKey, clock: Clock) -> ControlPlane:
    """The control plane that `settings` ask for."""
    return ControlPlane(
        database,
        realm=settings.realm,
        key=key,
        publishers=parse_public_keys(settings.keys.publishers),
        clock=clock,
        limits=Limits(
            **settings.liveness.model_dump(),
            keep_generations=settings.retention.keep_generations,
            **settings.scheduler.model_dump(),
        ),
        network=settings.network.range,
        gate=gate_rules(settings),
    )


def gate_rules(settings: Settings) -> GateRules:
    """Who may come in, as the settings have it."""
    workers = settings.workers
    return GateRules(
        draw=secrets.token_bytes,
        policy=Policy(workers.policy, frozenset({0, os.geteuid()}), workers.auto_networks),
        configured=tuple(ConfiguredToken(one.name, one.sha256, one.role, one.expires) for one in settings.tokens),
    )


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """The database, closed at the end whatever happens."""
    secret = settings.database.password_file
    password = read_password(secret) if secret else ""
    reach = partial(open_database, settings.database.url, new_epoch=new_epoch, password=password)
    database = await trio.to_thread.run_sync(reach)
    try:
        yield database
    finally:
        database.close()


def pin_origin(snapshot: Snapshot, *, origin: Origin) -> tuple[StateEvent, ...]:
    """The settings' origin wins over the one on disk."""
    return () if snapshot.origin == origin else (OriginPinned(origin),)


def rpc_addresses(settings: Settings) -> tuple[Address, Address]:
    """Where sessions are served: TCP and the unix socket."""
    host, _, port = settings.listen.rpc.rpartition(":")
    mode = SHARED_SOCKET if settings.socket.roles else OWN_SOCKET
    return TcpAddress(host.strip("[]"), int(port), settings.tls.server), UnixAddress(settings.listen.socket, mode=mode)


async def run(settings: Settings, ready: Ready) -> None:
    """Serve until cancelled: the store and the reconciler first, then those who may talk to them."""
    gc.set_threshold(*COLLECT_AFTER)
    map_large_blocks()
    key = read_key(settings.keys.assignment)
    if settings.tls.key is not None:
        read_secret(settings.tls.key, what="[tls] key")
    async with opened(settings) as database, trio.open_nursery() as core:
        control_plane = control_plane_of(settings, database, key=key, clock=SystemClock())
        await core.start(control_plane.run)
        if settings.origin:
            await control_plane.authority.change(partial(pin_origin, origin=settings.origin.origin))
        async with trio.open_nursery() as listeners:
            await listen(settings, control_plane, listeners, ready)
        core.cancel_scope.cancel()


async def listen(settings: Settings, control_plane: ControlPlane, nursery: trio.Nursery, ready: Ready) -> None:
    """Start each listener in `nursery`, and say that they are there."""
    metrics = Metrics(version=procurator_version())
    control_plane.authority.on_commit = metrics.committed
    backend = ControlPlaneBackend(control_plane, on_call=metrics.called)
    roles = {int(uid): role for uid, role in settings.socket.roles.items()}
    addresses = {}
    for name, address in zip(("rpc", "socket"), rpc_addresses(settings), strict=True):
        serve = partial(serve_control_plane, backend, address=address, socket_roles=roles)
        addresses[name] = str(await nursery.start(serve)).removeprefix("unix:")
    host, _, port = settings.listen.http.rpartition(":")
    serving = trio.Event()
    app = http_app(served(settings, control_plane, backend, metrics, is_ready=serving.is_set))
    serve = partial(serve_http, app, host=host.strip("[]"), port=int(port), tls=settings.http_tls)
    addresses["http"] = await nursery.start(serve)
    serving.set()
    ready(addresses)


def served(
    settings: Settings,
    control_plane: ControlPlane,
    backend: ControlPlaneBackend,
    metrics: Metrics,
    *,
    is_ready: Callable[[], bool],
) -> Served:
    """What HTTP answers from."""
    anonymous = Role.VIEWER if settings.http.anonymous == "viewer" else None
    return Served(
        sessions=backend,
        status=control_plane.status,
        events=control_plane.events,
        audit=control_plane.authority,
        metrics=metrics,
        is_ready=is_ready,
        version=procurator_version(),
        policy=HttpPolicy(anonymous, frozenset(settings.http.allowed_hosts)),
    )


main = service_main("control-plane", Settings, run)

if __name__ == "__main__":
    main()
