"""Tries all that a worker needs of its machine, by doing it, and says what to do where it fails; it mends nothing.

Whatever a probe makes has names of its own and is removed again, so that it may run beside the worker's agent.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from nix import commands
from nix.environment import NixEnvironment
from schema.assignment import read_assignment
from schema.errors import ProcuratorError, Unavailable
from schema.rpc.client import open_gateway
from worker import firewall
from worker.closures import Closures
from worker.dhcp import DhcpServer
from worker.netplan import NetworkNames, network_plan
from worker.records import Records
from worker.settings import Settings
from worker.taps import ensure_taps, remove_taps
from worker.user_network import NOT_ENFORCED
from worker.vm_state import Attachment, Content, desired_of
from worker.vmm.client import CloudHypervisor
from worker.vmm.config import VmConfig
from worker.vmm.port import VmAction
from worker.vmm.processes import Live, attach_serial, end, start_shim
from worker.vmm.runtime_dir import RuntimeDir, read_log

PROBE_SECONDS = 60.0
WORDS_SECONDS = 30.0
MOST_SKEW_MS = 5_000
"""Logins are refused when the clocks differ by more than 60 s; leases do not depend on them at all."""
_MIB = 1024 * 1024
_ATTACHMENT = Attachment("198.18.255.2/30", "198.18.255.1", "02:00:5e:00:53:01")
"""Of the range for benchmarks (RFC 2544), which no network uses."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found. `advice` says what to do where it failed."""

    probe: str
    passed: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to try: it returns what it saw, and raises where it cannot be had."""

    name: str
    advice: str
    run: Callable[[Settings], Awaitable[str]]


async def try_one(probe: Probe, settings: Settings) -> Finding:
    """Try one thing, within a minute. One after the other: two at once could fail each other."""
    with trio.move_on_after(PROBE_SECONDS):
        try:
            return Finding(probe.name, True, await probe.run(settings))
        except (ProcuratorError, OSError) as error:
            reason = error.message if isinstance(error, ProcuratorError) else str(error)
            return Finding(probe.name, False, " ".join(reason.split())[:400], probe.advice)
    return Finding(probe.name, False, f"not done within {PROBE_SECONDS:g} s", probe.advice)


def _kept(settings: Settings) -> tuple[Content, ...]:
    """What was last assigned, for probes that need a real closure; nothing of it is believed here."""
    signed = Records(settings.state).kept_assignment()
    if signed is None:
        return ()
    return tuple(entry.content for entry in desired_of(read_assignment(signed)).values())


async def disk(settings: Settings) -> str:
    """Room for closures, images and volumes."""
    usage = shutil.disk_usage(settings.state)
    free = usage.free // _MIB
    if free < settings.collection.min_free_mb:
        raise Unavailable(f"{free} MiB are free below {settings.state}, less than {settings.collection.min_free_mb}")
    return f"{free} of {usage.total // _MIB} MiB are free"


async def control_plane(settings: Settings, *, wall_ms: Callable[[], int]) -> str:
    """Whether it answers, and how far our clocks are apart."""
    async with open_gateway(settings.control_plane.reached, deadline=10) as gateway:
        before = wall_ms()
        challenge = await gateway.challenge(settings.name)
        after = wall_ms()
    skew = challenge.server_time_ms - (before + after) // 2
    if abs(skew) > MOST_SKEW_MS:
        raise Unavailable(f"its clock is {skew / 1000:+.1f} s from ours")
    return f"answers in {after - before} ms, its clock is {skew:+d} ms from ours"


async def closures(settings: Settings, *, keys_of: Callable[[Sequence[str]], list[str]]) -> str:
    """A small path by `nix copy` from the cache into a store of its own, with its signature required."""
    nix = NixEnvironment(settings.state / "nix").write()
    version = ".".join(map(str, await commands.nix_version(nix)))
    contents = _kept(settings)
    if not contents:
        return f"nix {version}; nothing is assigned yet, so nothing can be copied"
    store = Closures(nix, root=settings.store_root, caches=(), keys=())
    known = await store.closure(contents[0].spec.closure_paths)
    alone = [path for path, info in known.items() if not set(info.references) - {path}]
    smallest = min(alone or known, key=lambda path: known[path].nar_size)
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=settings.state) as folder:
        keys = keys_of(settings.caches.public_keys)
        fresh = Closures(nix, root=Path(folder), caches=settings.caches.urls, keys=keys)
        await fresh.pull([smallest], deadline=30)
        _make_writable(Path(folder))
    return f"nix {version} copied {smallest.rpartition('/')[2][33:]} from the cache, signed by a pinned key"


def _make_writable(folder: Path) -> None:
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o700)  # noqa: PTH101 - os.walk gives text


async def network(settings: Settings, *, names: NetworkNames | None = None) -> str:
    """A tap with its route, the rules in nftables, and dnsmasq; under `names`, else under such as nobody has.

    A worker with the user-mode network makes none of it: there only QEMU is needed, which the probe boot tries.
    """
    if settings.hypervisor.user_mode_network:
        return NOT_ENFORCED
    names = names or NetworkNames(f"doctor\n{settings.state}\n{secrets.token_hex(8)}")
    plan = network_plan(names, {}, {"probe-0": _ATTACHMENT})
    dhcp = DhcpServer(names)
    try:
        await firewall.apply(plan)
        await ensure_taps(plan.taps)
        if not await firewall.is_in_force(names):
            raise Unavailable("nftables took the rules and does not show them")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dhcp.run)
            dhcp.update(plan)
            with trio.move_on_after(10) as waiting:
                while not (dhcp.directory / "dnsmasq.pid").exists():  # noqa: ASYNC110 - dnsmasq writes it
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        if waiting.cancelled_caught:
            raise Unavailable("dnsmasq does not start")
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 15), suppress(ProcuratorError):
            await remove_taps([tap.name for tap in plan.taps])
            await firewall.remove(names)
            await dhcp.end()
    return "a tap with its route, nftables in the families inet and arp, and dnsmasq"


async def hypervisor(settings: Settings) -> str:
    """A boot of what was last assigned, without disks, until its kernel speaks: nothing less shows that guests run."""
    command, contents = settings.hypervisor.command, _kept(settings)
    with tempfile.TemporaryDirectory(prefix="d-", dir=settings.runtime_dirs) as folder:
        directory = RuntimeDir(Path(folder) / "vm")
        live = await start_shim(directory, command=command, log_bytes=65_536)
        try:
            return await _boot(settings, directory, contents)
        finally:
            with trio.CancelScope(shield=True):
                await _gone(directory, live)


async def _boot(settings: Settings, directory: RuntimeDir, contents: tuple[Content, ...]) -> str:
    async with CloudHypervisor(str(directory.api_socket)) as asked:
        with trio.move_on_after(10):
            while True:
                with suppress(Unavailable):
                    identity = await asked.ping()
                    break
                await trio.sleep(0.02)
        name = f"{settings.hypervisor.command[0]}, version {identity.version}"
        if not contents:
            return f"{name}, answers; nothing is assigned yet, so nothing can be booted"
        spec = contents[0].spec
        store = Closures(NixEnvironment(settings.state / "nix"), root=settings.store_root, caches=(), keys=())
        config = VmConfig(
            cpus=1,
            memory_bytes=256 * _MIB,
            kernel=str(store.files.file(spec.kernel)),
            initrd=str(store.files.file(spec.initrd)),
            cmdline="console=ttyS0 panic=1",
            serial_socket=str(directory.serial_socket),
        )
        await asked.create(config)
        await attach_serial(directory)
        started = trio.current_time()
        await asked.act(VmAction.BOOT)
        with trio.move_on_after(WORDS_SECONDS):
            while not read_log(directory.serial_log, max_bytes=256).strip():  # noqa: ASYNC110 - the guest writes it
                await trio.sleep(0.05)
            return f"{name}: a guest's first words after {trio.current_time() - started:.1f} s"
    raise Unavailable(f"{name} booted a guest that said nothing within {WORDS_SECONDS:g} s: does KVM really run here?")


async def _gone(directory: RuntimeDir, live: Live) -> None:
    with trio.move_on_after(10):
        await end(directory, live, grace_seconds=1.0)
        while directory.control_socket.exists():  # noqa: ASYNC110 - the shim removes it last
            await trio.sleep(0.02)


def all_probes(*, wall_ms: Callable[[], int], keys_of: Callable[[Sequence[str]], list[str]]) -> tuple[Probe, ...]:
    """Everything, in an order in which what comes later needs what came before."""
    return (
        Probe("disk", "make room, or set [collection] min_free_mb", disk),
        Probe(
            "control plane",
            "see that it runs and that [control_plane] names it; let both machines' clocks follow NTP",
            partial(control_plane, wall_ms=wall_ms),
        ),
        Probe(
            "closures",
            "see that a cache in [caches] urls answers and that its key is in [caches] public_keys; install nix-bin",
            partial(closures, keys_of=keys_of),
        ),
        Probe("network", "run as root, with nftables and dnsmasq-base installed and /dev/net/tun there", network),
        Probe(
            "hypervisor",
            "see [hypervisor] command; where KVM does not run kernels, use procurator-vmm with qemu-system-x86",
            hypervisor,
        ),
    )
