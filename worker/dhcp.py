"""One dnsmasq for all of a worker's taps: static leases by MAC, hostname, domain and name server; it answers no DNS."""

import ipaddress
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import trio

from nix.child import Child
from nix.run import open_process
from schema.errors import ProcuratorError, Unavailable
from worker.backoff import pause_after
from worker.netplan import NetworkNames, NetworkPlan, dhcp_hosts, subnets

DIRECTORY = Path("/run")
_END_SECONDS = 2.0
_LEASE_WORDS = 4
"""Of a line: when it ends, MAC, address, name."""

log = logging.getLogger(__name__)


def dnsmasq_conf(
    names: NetworkNames, directory: Path, nets: Sequence[ipaddress.IPv4Network], *, domain: str = ""
) -> str:
    """The configuration: only on our taps, only to the MACs in `hosts`, leases for ever.

    The name server is the gateway (0.0.0.0 is dnsmasq's word for itself). Leases are never renewed, since of several
    dnsmasq on one machine a renewal could reach the wrong one.
    """
    told = f"dhcp-option=option:domain-name,{domain}\ndhcp-option=option:domain-search,{domain}\n" if domain else ""
    ranges = "".join(f"dhcp-range={net.network_address},static,{net.netmask},infinite\n" for net in nets)
    return (
        "port=0\n"
        f"interface={names.tap_prefix}*\n"
        "bind-dynamic\n"
        f"{ranges}"
        "dhcp-authoritative\n"
        "dhcp-ignore=tag:!known\n"
        "dhcp-option=option:dns-server,0.0.0.0\n"
        f"{told}"
        "no-ping\n"
        f"dhcp-hostsfile={directory}/hosts\n"
        f"dhcp-leasefile={directory}/leases\n"
        f"pid-file={directory}/dnsmasq.pid\n"
        "log-facility=-\n"
    )


def kept_leases(written: str, wanted: Mapping[str, str]) -> str:
    """Those lines of dnsmasq's lease file whose address is wanted for that MAC; `wanted` are MACs by address.

    A lease is for ever, and dnsmasq gives nobody an address that another MAC has one of: whoever inherits an address
    would wait for it for ever.
    """
    lines = (line for line in written.splitlines(keepends=True) if len(line.split()) >= _LEASE_WORDS)
    return "".join(line for line in lines if wanted.get(line.split()[2]) == line.split()[1])


class DhcpServer:
    """A supervised dnsmasq. `update` gives it the network's plan; `run` keeps it alive once there is one.

    Its files are in a directory of its own outside the worker's state, because dnsmasq gives up root and has to read
    them again on SIGHUP; nothing in them is secret.
    """

    def __init__(self, names: NetworkNames, *, below: Path = DIRECTORY) -> None:
        self._names = names
        self.directory = below / f"procurator-dhcp-{names.code}"
        self._nets: tuple[ipaddress.IPv4Network, ...] = ()
        self._domain = ""
        self._wanted: Mapping[str, str] = {}
        self._given: dict[str, str] = {}
        self._process: Child | None = None
        self._is_ready = False
        self._is_stale = False
        self._changed = trio.Event()
        self._round = trio.CancelScope()

    def update(self, plan: NetworkPlan) -> None:
        """Serve the leases of `plan` from now on; those that are out stay valid.

        An address that has changed hands needs another dnsmasq: it forgets no lease while it runs.
        """
        nets = subnets(plan)
        self._wanted = {tap.attachment.ip: tap.attachment.mac for tap in plan.taps}
        inherits = any(self._given.get(address, mac) != mac for address, mac in self._wanted.items())
        self._given |= self._wanted
        self.directory.mkdir(mode=0o755, exist_ok=True)
        self.directory.chmod(0o755)
        _write(self.directory / "hosts", dhcp_hosts(plan))
        if inherits or not set(nets) <= set(self._nets) or (plan.domain and plan.domain != self._domain):
            self._nets, self._domain = nets, plan.domain
            _write(self.directory / "dnsmasq.conf", dnsmasq_conf(self._names, self.directory, nets, domain=plan.domain))
            self._changed.set()
            self._round.cancel()
        else:
            self._is_stale = True
            self._read_again()

    async def run(self) -> None:
        """Until cancelled: run dnsmasq with what was last given, again after a pause where it ends by itself."""
        await self._end_strays()
        failures = 0
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            try:
                ended = await self._serve()
            except ProcuratorError as error:
                ended = error.message
            if ended is None:
                failures = 0
                continue
            log.warning("dnsmasq ended by itself: %s", ended)
            await trio.sleep(pause_after(failures))
            failures += 1
            self._changed.set()

    async def _serve(self) -> str | None:
        """One dnsmasq: the reason of its end, or None when it has to begin again with another configuration."""
        argv = ("dnsmasq", "--keep-in-foreground", f"--conf-file={self.directory}/dnsmasq.conf")
        said = bytearray()
        with trio.CancelScope() as self._round:
            if self._changed.is_set():
                return None
            self._is_ready = self._is_stale = False
            self._forget_leases()
            async with open_process(argv, env={}, stdin=None, stdout=None) as process, trio.open_nursery() as nursery:
                self._process = process
                nursery.start_soon(self._until_ready, process.pid)
                if process.stderr is not None:
                    async for chunk in process.stderr:
                        said[:] = (said + chunk)[-2000:]
                code = await process.wait()
                nursery.cancel_scope.cancel()
            return f"exit code {code}: {said.decode(errors='replace').strip().splitlines()[-1:]}"
        return None

    def _forget_leases(self) -> None:
        leases = self.directory / "leases"
        with suppress(FileNotFoundError):
            _write(leases, kept_leases(leases.read_text(errors="replace"), self._wanted))
        self._given = dict(self._wanted)

    async def _until_ready(self, pid: int) -> None:
        """Its pid file is written last: before that SIGHUP would end it, or come before it reads the hosts."""
        while self._written_pid() != pid:  # noqa: ASYNC110 - another process writes the file
            await trio.sleep(0.01)
        self._is_ready = True
        self._read_again()

    def _read_again(self) -> None:
        if self._is_ready and self._is_stale and self._process is not None and self._process.poll() is None:
            self._is_stale = False
            self._process.send_signal(signal.SIGHUP)

    async def end(self) -> None:
        """End the dnsmasq that an agent left behind, and remove its files."""
        await self._end_strays()
        if self.directory.is_dir():
            for file in self.directory.iterdir():
                file.unlink()
            self.directory.rmdir()

    async def _end_strays(self) -> None:
        """A dnsmasq of an agent that was killed: the next one starts where it stopped, the leases are in the file."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._strays():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            with trio.move_on_after(_END_SECONDS):
                while self._strays():  # noqa: ASYNC110 - it is not our child
                    await trio.sleep(0.02)
                return
        raise Unavailable(f"an earlier dnsmasq does not end: pids {self._strays()}")

    def _strays(self) -> list[int]:
        """All processes that run with our configuration, found by their command line: a pid file can be lost."""
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if self._is_ours(entry)]

    def _is_ours(self, entry: Path) -> bool:
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return f"--conf-file={self.directory}/dnsmasq.conf".encode() in command

    def _written_pid(self) -> int | None:
        try:
            return int((self.directory / "dnsmasq.pid").read_text())
        except (OSError, ValueError):
            return None


def _write(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(file)
