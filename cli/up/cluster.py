"""Run a local cluster from its state directory, and end one; it shows nothing, `say` does."""

import errno
import fcntl
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import trio

from cli.up.certificates import ensure_certificates
from cli.up.layout import Files, StateDir
from cli.up.plan import HOST, MAX_WORKERS, Choices, Ports, Program, programs, tls_names
from cli.up.ports import check_free
from cli.up.prepare import prepare
from cli.up.processes import is_alive, own_process, stop, wait_ended
from cli.up.record import read_record
from cli.up.supervise import Say, Supervisor, processes_of, stop_all
from nix.example import LIBRARY
from nix.own_store import enter_own_store
from nix.run import run
from schema.errors import Conflict, NotFound, PermissionDenied, ProcuratorError, Unavailable

STOP_VMS_SECONDS = 60.0
USER_NETWORK = "--user-network"
_SUPERVISOR_STOP_SECONDS = 40.0
_RENEWAL_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """What `pcr up` was asked for. `port_offset` None: as chosen before. `user_network`: see `make_ready`."""

    state: StateDir
    workers: int = 1
    port_offset: int | None = None
    user_network: bool = False


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A running local cluster: each service's addresses (`http`, `rpc`, `socket`) by its name."""

    state: StateDir
    choices: Choices
    addresses: Mapping[str, Mapping[str, str]]

    @property
    def ports(self) -> Ports:
        """Where the services listen."""
        return Ports(self.choices.port_offset)

    def url(self, port: int) -> str:
        """The base URL of a service by its port."""
        return f"http://{HOST}:{port}"


def executables() -> Path:
    """The directory of our programs: where this interpreter is."""
    return Path(sys.executable).parent


def parts_dir(environ: Mapping[str, str]) -> Path:
    """Where `./dev` keeps the parts of the example's guests."""
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "procurator" / "parts"


def example_paths(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """What the example's evaluation reads beside its own commit: the guest's parts and the Nix library."""
    return (parts_dir(environ), LIBRARY)


def make_ready(what: str, *, user_network: bool, environ: Mapping[str, str]) -> None:
    """See that `what` can do its work, which needs root and taps, or neither with the user-mode network.

    That one is for development: no name, `connect` or `egress` of a VM is enforced (`docs/decisions/0037`). Without
    root this also becomes the same program again where nix's store is the user's own. Raises PermissionDenied, with
    both commands, and Unavailable.
    """
    if not user_network:
        require_root(what)
        require_tun()
        return
    enter_own_store(environ)


def require_root(what: str) -> None:
    """Raise PermissionDenied, with the commands, without root."""
    if os.geteuid() != 0:
        command = what if "/" in what else f"{executables()}/{what}"  # sudo does not look where we are
        raise PermissionDenied(
            f"`{what}` needs root for the VMs' network devices; run: sudo {command}; "
            f"or without root, for development only: {command} {USER_NETWORK}"
        )


def require_tun(device: Path = Path("/dev/net/tun")) -> None:
    """Raise Unavailable, with the way out, on a machine that makes no taps: all else would work, and no VM boot."""
    if not device.is_char_device():
        raise Unavailable(
            f"{device} is not there, and the VMs' network devices are made with it; "
            "run: modprobe tun (or give the container that device)"
        )


@contextmanager
def _only_one(state: StateDir) -> Iterator[None]:
    descriptor = os.open(state.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            other = read_record(state.record).supervisor
            who = f" (pid {other.pid})" if other else ""
            raise Conflict(
                f"`pcr up` already runs for {state.root}{who}; end it with: pcr down --state {state.root}"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    path = [str(executables()), environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    return {**environ, "PATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}


@asynccontextmanager
async def local_cluster(
    options: Options, *, environ: Mapping[str, str], allowed_paths: tuple[Path, ...], say: Say
) -> AsyncIterator[LocalCluster]:
    """Start (or take over) every service, yield once all listen, and stop them at the end; VMs go on.

    Raises what `prepare` does, Unavailable for a busy port and for a service that cannot start, DeadlineExceeded,
    Conflict when another `pcr up` runs here.
    """
    state = options.state
    choices = prepare(
        state,
        workers=options.workers,
        port_offset=options.port_offset,
        executables=executables(),
        allowed_paths=allowed_paths,
        now=wall_clock(),
        user_network=options.user_network,
    )
    wanted = programs(state, workers=options.workers)
    with _only_one(state):
        supervisor = Supervisor(
            state=state,
            programs=wanted,
            executables=executables(),
            env=_environment(environ),
            own=own_process(),
            say=say,
        )
        adopted = supervisor.adoptable()
        await stop_all(processes_of(state, wanted) - {service.process for service in adopted.values()})
        _check_ports(choices, workers=options.workers, adopted=set(adopted))
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(partial(supervisor.run))
            nursery.start_soon(_renew_certificates, state, choices, supervisor)
            yield LocalCluster(state=state, choices=choices, addresses=addresses)
            nursery.cancel_scope.cancel()


def wall_clock() -> datetime:
    """Now, as certificates tell it."""
    return datetime.fromtimestamp(time.time_ns() / 1e9, UTC)


async def _renew_certificates(state: StateDir, choices: Choices, supervisor: Supervisor) -> None:
    """Once a day; the control plane reads its certificate at its start, and no VM notices that."""
    while True:
        await trio.sleep(_RENEWAL_SECONDS)
        if ensure_certificates(Files(state.tls), names=tls_names(choices), now=wall_clock()):
            await supervisor.restart("control-plane")


def _check_ports(choices: Choices, *, workers: int, adopted: set[str]) -> None:
    wanted = Ports(choices.port_offset).by_service(workers=workers)
    check_free({port: service for port, service in wanted.items() if service not in adopted}, host=HOST)


async def take_down(state: StateDir, *, keep_vms: bool, environ: Mapping[str, str], say: Say) -> None:
    """End `pcr up`, every service, and (unless `keep_vms`) every VM of this directory.

    Raises NotFound when there is no such cluster.
    """
    if not state.etc.is_dir():
        raise NotFound(f"there is no local cluster in {state.root}; name its directory with --state")
    supervisor = read_record(state.record).supervisor
    if supervisor is not None and is_alive(supervisor):
        os.kill(supervisor.pid, signal.SIGTERM)
        with trio.move_on_after(_SUPERVISOR_STOP_SECONDS):
            await wait_ended(supervisor)
        await stop(supervisor)
    known = _all_programs(state)
    await stop_all(processes_of(state, known))
    say("services stopped")
    if not keep_vms:
        await stop_vms(state, environ=environ, say=say)


def _all_programs(state: StateDir) -> tuple[Program, ...]:
    """The programs that have settings here, however many workers there were."""
    possible = programs(state, workers=MAX_WORKERS)
    return tuple(program for program in possible if program.settings.exists())


async def stop_vms(state: StateDir, *, environ: Mapping[str, str], say: Say) -> None:
    """Have each worker's program stop the VMs of that worker, all workers at once."""

    async def of_worker(program: Program) -> None:
        argv = [str(executables() / program.executable), "--config", str(program.settings), "--stop-vms"]
        try:
            await run(argv, deadline=STOP_VMS_SECONDS, env=_environment(environ))
            say(f"{program.name}: VMs stopped")
        except ProcuratorError as error:
            failures.append(error)

    failures: list[ProcuratorError] = []
    async with trio.open_nursery() as nursery:
        for program in _all_programs(state):
            if program.executable == "procurator-worker":
                nursery.start_soon(of_worker, program)
    for failure in failures:
        raise failure
