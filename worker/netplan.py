"""From the assignment to all that one worker's network shall be: taps, pins, who reaches whom; it touches no interface.

Its nftables text is `worker.rules`', the names that guests may ask for are `worker.resolver.policy`'s.
"""

import base64
import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from schema.assignment import Peer
from schema.blueprint import EgressMode
from worker.vm_state import Attachment, Desired

TAP_GROUP = 0x70726F63
"""The interface group of all workers' taps: each knows the others' by it (a name alone may be a `ppp0`)."""


@lru_cache(maxsize=4096)
def _code(text: str, length: int) -> str:
    """`length` characters of base32 (5 bits each) of SHA-256: lower case letters and digits only."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]


@dataclass(frozen=True, slots=True)
class NetworkNames:
    """What this worker calls its things in the kernel; `key` tells workers of one machine apart.

    A tap is `p`, 30 bits of the worker's key and 40 bits of the instance: one wildcard names all of a worker's taps.
    """

    key: str

    @property
    def code(self) -> str:
        """Six characters that stand for the worker."""
        return _code(self.key, 6)

    @property
    def tap_prefix(self) -> str:
        """What all of this worker's taps begin with, and no other's."""
        return f"p{self.code}"

    @property
    def table(self) -> str:
        """The nftables table, in the families inet and arp."""
        return f"procurator_{self.code}"

    @property
    def route_metric(self) -> int:
        """The metric by which this worker knows its routes to other workers: 1,000,000 and 20 bits of its key."""
        return 1_000_000 + int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:3]) % (1 << 20)

    def tap(self, instance: str) -> str:
        """The tap of `instance` (15 characters)."""
        return f"{self.tap_prefix}{_code(f'{self.key}/{instance}', 8)}"


@dataclass(frozen=True, slots=True)
class Tap:
    """A tap and the instance behind it."""

    name: str
    instance: str
    attachment: Attachment


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A source that may reach a port (TCP and UDP) of a destination."""

    source: str
    destination: str
    port: int


@dataclass(frozen=True, slots=True, order=True)
class Published:
    """A port of the machine (TCP and UDP) that leads to a port of an instance."""

    machine_port: int
    address: str
    port: int


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """The subnet of another worker, and the address of its machine on a link that both share."""

    subnet: str
    via: str


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """All that this worker's network shall be.

    `pairs` are from our instances, `incoming` from instances elsewhere to ours. `open_taps` may leave the cluster to
    anywhere, `allow_taps` to what the resolver found for them. `elsewhere` are the instances of other workers that
    ours have to do with; `domain` is what names inside the cluster end with (empty: not known).
    """

    names: NetworkNames
    taps: tuple[Tap, ...]
    pairs: tuple[Pair, ...]
    incoming: tuple[Pair, ...] = ()
    open_taps: tuple[str, ...] = ()
    allow_taps: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    routes: tuple[Route, ...] = ()
    elsewhere: tuple[str, ...] = ()
    domain: str = ""

    @property
    def gateways(self) -> tuple[str, ...]:
        """The addresses of the host that guests know it by."""
        return tuple(sorted({tap.attachment.gateway for tap in self.taps}))

    @property
    def is_routed_outward(self) -> bool:
        """Whether anything of it crosses the machine's other interfaces."""
        return bool(self.open_taps or self.allow_taps or self.published or self.elsewhere)


def network_plan(
    names: NetworkNames,
    desired: Mapping[str, Desired],
    attached: Mapping[str, Attachment],
    peers: Iterable[Peer] = (),
) -> NetworkPlan:
    """What the network shall be: a tap for all in `attached`, and what the entries' networks name.

    `attached` are the instances that have or get a tap, which may outlive their entry while they are being stopped.
    """
    others = [peer for peer in peers if peer.instance not in desired]
    by_mode = {
        mode: tuple(sorted(names.tap(instance) for instance, entry in desired.items() if _mode(entry) is mode))
        for mode in EgressMode
    }
    return NetworkPlan(
        names=names,
        taps=tuple(Tap(names.tap(instance), instance, where) for instance, where in sorted(attached.items())),
        pairs=tuple(sorted(set(_pairs(desired, others)))),
        incoming=tuple(sorted(set(_incoming(desired, others)))),
        open_taps=by_mode[EgressMode.OPEN],
        allow_taps=by_mode[EgressMode.ALLOW],
        published=tuple(_published(desired)),
        routes=tuple(sorted({Route(peer.subnet, peer.worker_address) for peer in others if peer.worker_address})),
        elsewhere=tuple(sorted({bare(peer.address) for peer in others}, key=ipaddress.IPv4Address)),
        domain=domain_of(desired),
    )


def bare(address: str) -> str:
    """`10.77.0.2/24` without its prefix length."""
    return str(ipaddress.IPv4Interface(address).ip)


def domain_of(desired: Mapping[str, Desired]) -> str:
    """What names inside the cluster end with: `example.internal`. One worker belongs to one cluster."""
    clusters = sorted({entry.cluster for entry in desired.values() if entry.cluster})
    return f"{clusters[0]}.internal" if clusters else ""


def addresses_by_vm(desired: Mapping[str, Desired], others: Iterable[Peer]) -> dict[str, list[tuple[str, str]]]:
    """For each VM its instances that this worker knows, each with its address."""
    found: dict[str, list[tuple[str, str]]] = {}
    here = [(instance, entry.attachment.ip) for instance, entry in desired.items()]
    for instance, address in (*here, *((peer.instance, bare(peer.address)) for peer in others)):
        found.setdefault(instance.rpartition("-")[0], []).append((instance, address))
    return found


def _mode(entry: Desired) -> EgressMode:
    return entry.content.spec.network.egress.mode


def _pairs(desired: Mapping[str, Desired], others: list[Peer]) -> Iterator[Pair]:
    by_vm = addresses_by_vm(desired, others)
    for entry in desired.values():
        for target in entry.content.spec.network.connect:
            vm, _, port = target.partition(":")
            for _, address in by_vm.get(vm, ()):
                yield Pair(entry.attachment.ip, address, int(port))


def _incoming(desired: Mapping[str, Desired], others: list[Peer]) -> Iterator[Pair]:
    by_vm = addresses_by_vm(desired, ())
    for peer in others:
        for target in peer.ports:
            vm, _, port = target.partition(":")
            for _, address in by_vm.get(vm, ()):
                yield Pair(bare(peer.address), address, int(port))


def _published(desired: Mapping[str, Desired]) -> Iterator[Published]:
    """Of several that want one port of the machine, the first instance by name has it."""
    taken: set[int] = set()
    for _, entry in sorted(desired.items()):
        for port in entry.content.spec.network.ports:
            if port.publish and port.publish not in taken:
                taken.add(port.publish)
                yield Published(port.publish, entry.attachment.ip, port.port)


def dhcp_hosts(plan: NetworkPlan) -> str:
    """What dnsmasq reads as `dhcp-hostsfile`: MAC, address, hostname, and a lease that is never to be renewed."""
    return "".join(f"{tap.attachment.mac},{tap.attachment.ip},{tap.instance},infinite\n" for tap in plan.taps)


def subnets(plan: NetworkPlan) -> tuple[ipaddress.IPv4Network, ...]:
    """The networks in which dnsmasq has to answer: one, unless the worker's subnet has just changed."""
    found = {ipaddress.IPv4Interface(tap.attachment.address).network for tap in plan.taps}
    return tuple(sorted(found))
