"""`procurator-worker`: wires the worker together and runs it; with `--stop-vms` it ends what an agent left running."""

import fcntl
import json
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import trio

from nix.environment import NixEnvironment
from schema.assignment import Seen
from schema.errors import Conflict, InvalidInput, ProcuratorError, Unavailable
from schema.http import serve_http
from schema.interfaces import WorkerHello
from schema.rpc.client import open_gateway, open_worker_session
from schema.service import Instead, Ready, procurator_version, service_main
from schema.signing import PublicKey, SecretKey, parse_public_keys
from schema.status import Directive, LiveClosures, WorkerReport
from worker import machine, probe
from worker.agent import Agent, Pins
from worker.closures import Closures
from worker.collector import Collector
from worker.confining import Confining
from worker.dhcp import DhcpServer
from worker.doctor import all_probes, try_one
from worker.guest.channel import GuestChannel
from worker.http import make_app
from worker.identity import Door, Wire, own_key
from worker.image import Images
from worker.kept_logs import KeptLogs
from worker.live_settings import LiveSettings
from worker.netplan import NetworkNames
from worker.network import Network
from worker.reconcile import Limits
from worker.records import Records
from worker.report import worker_report
from worker.resolver.upstream import RESOLV_CONF, Upstream
from worker.retention import Due
from worker.service import WorkerService
from worker.settings import Settings
from worker.supervise import Supervisor
from worker.user_network import UserNetwork
from worker.vm_steps import StepSettings, VmSteps
from worker.vmm.cgroup import Cgroups
from worker.vmm.fence import boottime_ns
from worker.vmm.port import Counters
from worker.vmm.processes import open_console
from worker.vmm.programs import module_of
from worker.vmm.shims import Shims
from worker.vmm.users import Users
from worker.volumes import Volumes

log = logging.getLogger(__name__)

_STATE_WAIT_SECONDS = 5.0
LOCAL_SOCKET = "worker.sock"
"""Below the state directory: the worker's status for who may be there, also while the control plane is away."""
_SECONDS = 1000


@dataclass(frozen=True, slots=True)
class Machinery:
    """What reaches into this machine."""

    records: Records
    volumes: Volumes
    network: Network | UserNetwork
    steps: VmSteps
    closures: Closures
    images: Images
    confining: Confining
    shims: Shims


def keys_of(texts: tuple[str, ...]) -> tuple[PublicKey, ...]:
    """Pinned keys; what begins with `/` is a file that holds one. Raises InvalidInput."""
    try:
        return parse_public_keys(Path(text).read_text() if text.startswith("/") else text for text in texts)
    except OSError as error:
        raise InvalidInput(f"cannot read the public key file {error.filename}: {error.strerror}") from error


def upstream(settings: Settings) -> Upstream:
    """Whom the resolver asks: as configured, else as the machine itself does."""
    if settings.network.resolvers:
        return Upstream(settings.network.resolvers)
    return Upstream((), file=RESOLV_CONF)


def machinery(settings: Settings) -> Machinery:
    """The adapters of this worker; nothing is touched yet but its own directories."""

    def guest_of(instance: str) -> GuestChannel:
        return steps.guest(instance)

    for directory in (settings.state, settings.images, settings.volumes, settings.runtime_dirs):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    records, volumes = Records(settings.state), Volumes(settings.volumes)
    # Two workers of one machine differ in their state directory, whatever they are called.
    names = NetworkNames(f"{settings.name}\n{settings.state.resolve()}")
    network: Network | UserNetwork = Network(names, DhcpServer(names), upstream(settings))
    if settings.hypervisor.user_mode_network:
        network = UserNetwork(settings.user_network, names, guest_of)
    closures = Closures(
        NixEnvironment(settings.state / "nix").write(),
        root=settings.store_root,
        caches=settings.caches.urls,
        keys=[str(key) for key in keys_of(settings.caches.public_keys)],
    )
    images = Images(settings.images, physical=closures.files.physical)
    confining = _confining(settings, names)
    shims = Shims(modules=(module_of(settings.hypervisor.command),))
    steps = VmSteps(
        closures=closures,
        images=images,
        volumes=volumes,
        network=network,
        confining=confining,
        kept_logs=KeptLogs(settings.state / "logs", now=lambda: time.time_ns() / 1e9),
        records=records,
        shims=shims,
        runtime_dirs=settings.runtime_dirs,
        settings=_step_settings(settings),
    )
    return Machinery(records, volumes, network, steps, closures, images, confining, shims)


def _confining(settings: Settings, names: NetworkNames) -> Confining:
    users = Users(
        names.key,
        record=settings.state / "users.json",
        open_to=(settings.state, settings.images, settings.volumes, settings.runtime_dirs),
        wanted=settings.hypervisor.separate_users and not settings.hypervisor.user_mode_network,
        command=settings.hypervisor.command,
    )
    limits = settings.hypervisor
    return Confining(
        users,
        Cgroups(names.code),
        overhead_mb=limits.overhead_mb,
        processes=limits.processes,
        images=settings.images,
        landlock=limits.landlock,
    )


def _step_settings(settings: Settings) -> StepSettings:
    return StepSettings(
        command=_strict(_networked(settings)),
        log_bytes=settings.limits.log_bytes,
        pull_seconds=settings.limits.pull_timeout_ms / _SECONDS,
        boot_seconds=settings.limits.boot_timeout_ms / _SECONDS,
        stop_seconds=settings.stop_timeout_ms / _SECONDS,
    )


def _networked(settings: Settings) -> tuple[str, ...]:
    """The hypervisor's command, with the user-mode network where that is wanted."""
    command = settings.hypervisor.command
    wanted = settings.hypervisor.user_mode_network
    return (*command, "--dev-user-net", str(settings.user_network)) if wanted else command


def _strict(command: tuple[str, ...]) -> tuple[str, ...]:
    """With its system calls filtered, unless the command says otherwise."""
    told = any(word == "--seccomp" or word.startswith("--seccomp=") for word in command)
    return command if told else (*command, "--seccomp", "true")


def collector(settings: Settings, parts: Machinery, ask: Callable[[], Awaitable[LiveClosures]]) -> Collector:
    """What keeps the store and the images small; `ask` answers what must stay."""
    return Collector(
        closures=parts.closures,
        images=parts.images,
        in_use=parts.steps.images_in_use,
        ask=ask,
        state=settings.state,
        due=_due(settings),
    )


def _due(settings: Settings) -> Due:
    return Due(interval=settings.collection.interval_ms / _SECONDS, min_free_mb=settings.collection.min_free_mb)


def _limits(settings: Settings, *, memory_mb: int) -> Limits:
    return Limits(
        parallel_boots=settings.limits.parallel_boots or 2 * machine.cpu_count(),
        parallel_pulls=settings.limits.parallel_pulls,
        memory_mb=memory_mb,
    )


async def run(settings: Settings, ready: Ready) -> None:
    """The worker until cancelled. Its VMs go on."""
    pins = Pins(settings.name, keys_of(settings.control_plane.public_keys), keys_of(settings.publishers.public_keys))
    host, _, port = settings.listen.http.rpartition(":")
    with alone_in(settings.state):
        parts = machinery(settings)
        key = own_key(settings.state, worker_id=settings.name, draw=secrets.token_bytes)
        log.info("the fingerprint of worker %s's key is %s", settings.name, key.public.fingerprint)
        facts = machine.facts(settings, version=procurator_version())
        supervisor = Supervisor(
            steps=parts.steps,
            records=parts.records,
            limits=_limits(settings, memory_mb=facts.memory_mb),
            min_healthy_ms=settings.min_healthy_ms,
            ask=parts.network.ask if isinstance(parts.network, UserNetwork) else probe.ask,
            boottime_ns=boottime_ns,
            in_thread=trio.to_thread.run_sync,
        )

        def report() -> WorkerReport:
            return _report(settings, parts, supervisor, agent.seen)

        def apply(changed: Settings) -> None:
            supervisor.limits = _limits(changed, memory_mb=facts.memory_mb)
            agent.interval_ms = changed.report_interval_ms
            keeper.due = _due(changed)
            parts.steps.settings = _step_settings(changed)

        def obey(asked: Sequence[Directive]) -> None:
            supervisor.follow_drain(ordered=Directive.DRAIN in asked)
            if Directive.COLLECT in asked:
                keeper.request()

        async with parts.shims, trio.open_nursery() as nursery:
            service = WorkerService(
                supervisor=supervisor,
                report=report,
                logs_of=parts.steps.logs,
                volumes=parts.volumes,
                guest_of=parts.steps.guest,
                console_of=lambda instance: open_console(parts.steps.directory(instance)),
                spawn=nursery.start_soon,
                settings=LiveSettings(settings, apply),
                stop_agent=nursery.cancel_scope.cancel,
            )
            door = _door(settings, key, lambda: WorkerHello(settings.name, facts), service)
            agent = Agent(
                pins=pins,
                connect=door.session,
                supervisor=supervisor,
                records=parts.records,
                report=report,
                interval_ms=settings.report_interval_ms,
                boottime_ns=boottime_ns,
                draw=random.random,
                on_directives=obey,
            )
            keeper = collector(settings, parts, agent.live_closures)
            nursery.start_soon(parts.network.run)
            nursery.start_soon(parts.confining.find_out)
            nursery.start_soon(parts.shims.load)
            await nursery.start(supervisor.run)
            pages = partial(
                make_app,
                report=report,
                counters=partial(counters, parts, supervisor),
                connected=lambda: agent.connected,
                door=lambda: _told(door),
            )
            bound = await nursery.start(_serve, pages(), host, int(port))
            await nursery.start(_serve_here, pages(whole=True), settings.state / LOCAL_SOCKET)
            nursery.start_soon(agent.run)
            nursery.start_soon(keeper.run)
            ready({"http": bound})


async def _serve(app: object, host: str, port: int, *, task_status: trio.TaskStatus[str]) -> None:
    await serve_http(app, host=host, port=port, task_status=task_status)  # type: ignore[arg-type]


async def _serve_here(app: object, path: Path, *, task_status: trio.TaskStatus[str]) -> None:
    await serve_http(app, unix=path, task_status=task_status)  # type: ignore[arg-type]


async def counters(parts: Machinery, supervisor: Supervisor) -> dict[str, Counters]:
    """What the hypervisors count, of those that answer soon."""
    found: dict[str, Counters] = {}

    async def one(instance: str) -> None:
        with suppress(ProcuratorError):
            found[instance] = await parts.steps.counters(instance)

    async with trio.open_nursery() as nursery:
        for instance in [name for name, vm in supervisor.vms.items() if vm.is_up]:
            nursery.start_soon(one, instance)
    return found


def _report(settings: Settings, parts: Machinery, supervisor: Supervisor, seen: Seen | None) -> WorkerReport:
    report = worker_report(
        settings.name,
        seen=seen,
        desired=supervisor.desired,
        vms=supervisor.shown(),
        volumes=parts.volumes.on_disk(),
        metrics=machine.metrics(settings),
        now=trio.current_time(),
    )
    return parts.network.noted(report) if isinstance(parts.network, UserNetwork) else report


def _door(settings: Settings, key: SecretKey, hello: Callable[[], WorkerHello], service: WorkerService) -> Door:
    address = settings.control_plane.reached
    return Door(
        Wire(
            gateway=lambda: open_gateway(address),
            session=lambda prove: open_worker_session(address, hello(), service, prove),
        ),
        key=key,
        realm=settings.realm,
        hello=hello,
        token_file=settings.control_plane.join_token_file,
        wall_ms=lambda: time.time_ns() // 1_000_000,
    )


def _told(door: Door) -> dict[str, str]:
    """What `/ping` says of the way in, for an operator to compare."""
    return {"fingerprint": door.fingerprint, "admission": door.admission or "unknown", "reason": door.reason}


@contextmanager
def alone_in(state: Path) -> Iterator[None]:
    """Hold the state directory for this process. Raises Conflict when another agent of it runs."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another worker's agent runs on {state}") from None
        yield


async def stop_vms(settings: Settings) -> None:
    """End all VMs of this worker and take its taps, rules and dnsmasq away. Idempotent.

    Raises Conflict when its agent runs: it would start them again. One that is just ending is waited for.
    """
    patience = trio.current_time() + _STATE_WAIT_SECONDS
    while True:
        try:
            with alone_in(settings.state):
                await _stop_all(machinery(settings))
                return
        except Conflict:
            if trio.current_time() > patience:
                raise
        await trio.sleep(0.1)


async def _stop_all(parts: Machinery) -> None:
    async with trio.open_nursery() as nursery:
        for instance in parts.records.booted_instances():
            nursery.start_soon(_stop_one, parts, instance)
    await parts.network.remove_all()
    await parts.confining.clear_all_but(())


async def _stop_one(parts: Machinery, instance: str) -> None:
    await parts.steps.stop(instance, None, for_good=False)
    parts.records.forget_booted(instance)


async def doctor(settings: Settings) -> None:
    """Print what was tried, a JSON object a line; the exit code says whether all of it worked.

    Raises Unavailable with how many probes failed.
    """
    for directory in (settings.state, settings.runtime_dirs):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    probes = all_probes(
        wall_ms=lambda: time.time_ns() // 1_000_000, keys_of=lambda texts: [str(key) for key in keys_of(tuple(texts))]
    )
    failed = 0
    for one in probes:
        found = await try_one(one, settings)
        failed += not found.passed
        print(json.dumps(asdict(found)), flush=True)
    if failed:
        raise Unavailable(f"{failed} of {len(probes)} probes failed")


main = service_main(
    "worker",
    Settings,
    run,
    instead=[
        Instead("--stop-vms", "End this worker's VMs and its network; its agent must not run.", stop_vms),
        Instead("--doctor", "Try all that this worker needs of its machine, and print what was found.", doctor),
    ],
)
