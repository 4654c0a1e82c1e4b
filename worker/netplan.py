"""From the assignment to the names, taps, pins and permitted pairs of one worker's network; it touches no interface."""

import base64
import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from schema.assignment import Peer
from worker.vm_state import Attachment, Desired

TAP_NAME_BYTES = 15
"""IFNAMSIZ without its NUL."""

CHAINS = ("pinned", "to_host", "through_host")
"""The chains of a worker's table."""


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
        """The nftables table, in family inet."""
        return f"procurator_{self.code}"

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


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """All that this worker's network shall be. `peers` are instances elsewhere that may reach ours."""

    names: NetworkNames
    taps: tuple[Tap, ...]
    pairs: tuple[Pair, ...]
    peers: tuple[str, ...]


def network_plan(
    names: NetworkNames,
    desired: Mapping[str, Desired],
    attached: Mapping[str, Attachment],
    peers: Iterable[Peer] = (),
) -> NetworkPlan:
    """What the network shall be: a tap for all in `attached`, pairs by what the entries' `connect` names.

    `attached` are the instances that have or get a tap, which may outlive their entry while they are being stopped.
    """
    elsewhere = [(peer.instance, _bare(peer.address)) for peer in peers if peer.instance not in desired]
    taps = [Tap(names.tap(instance), instance, attachment) for instance, attachment in sorted(attached.items())]
    return NetworkPlan(
        names=names,
        taps=tuple(taps),
        pairs=tuple(sorted(set(_pairs(desired, elsewhere)))),
        peers=tuple(sorted({address for _, address in elsewhere}, key=ipaddress.IPv4Address)),
    )


def _bare(address: str) -> str:
    return str(ipaddress.IPv4Interface(address).ip)


def _pairs(desired: Mapping[str, Desired], elsewhere: list[tuple[str, str]]) -> Iterator[Pair]:
    here = [(instance, entry.attachment.ip) for instance, entry in desired.items()]
    by_vm: dict[str, list[str]] = {}
    for instance, address in (*here, *elsewhere):
        by_vm.setdefault(instance.rpartition("-")[0], []).append(address)
    for entry in desired.values():
        for target in entry.content.spec.network.connect:
            vm, _, port = target.partition(":")
            for address in by_vm.get(vm, ()):
                yield Pair(entry.attachment.ip, address, int(port))


def ruleset(plan: NetworkPlan) -> str:
    """The worker's table as one nft transaction; established flows go on, since conntrack is not the table's.

    Only packets from or to this worker's taps are judged, so that several workers and the host's own rules go
    together: in nftables a packet passes when every table lets it.
    """
    table, taps = plan.names.table, f'"{plan.names.tap_prefix}*"'
    pins = [f'"{tap.name}" . {tap.attachment.mac} . {tap.attachment.ip}' for tap in plan.taps]
    macs = [f'"{tap.name}" . {tap.attachment.mac}' for tap in plan.taps]
    pairs = [f"{pair.source} . {pair.destination} . {pair.port}" for pair in plan.pairs]
    return f"""\
table inet {table}
delete table inet {table}
table inet {table} {{
{_set("pins", "ifname . ether_addr . ipv4_addr", pins)}
{_set("macs", "ifname . ether_addr", macs)}
{_set("pairs", "ipv4_addr . ipv4_addr . inet_service", pairs)}
{_set("peers", "ipv4_addr", plan.peers)}
    chain pinned {{
        type filter hook prerouting priority raw; policy accept;
        iifname != {taps} accept
        meta nfproto != ipv4 drop
        iifname . ether saddr . ip saddr @pins accept
        ip saddr 0.0.0.0 udp sport 68 udp dport 67 iifname . ether saddr @macs accept
        drop
    }}
    chain to_host {{
        type filter hook input priority filter; policy accept;
        iifname != {taps} accept
        udp sport 68 udp dport 67 accept
        ct state established,related accept
        drop
    }}
    chain through_host {{
        type filter hook forward priority filter; policy accept;
        iifname != {taps} oifname != {taps} accept
        ct state established,related accept
        meta l4proto {{ tcp, udp }} ip saddr . ip daddr . th dport @pairs accept
        iifname != {taps} ip saddr @peers accept
        drop
    }}
}}
"""


def _set(name: str, kind: str, elements: Iterable[str]) -> str:
    listed = ",\n            ".join(elements)
    body = f"\n        elements = {{\n            {listed}\n        }}" if listed else ""
    return f"    set {name} {{\n        type {kind}{body}\n    }}"


def removal(names: NetworkNames) -> str:
    """The transaction that removes the worker's table, there or not."""
    return f"table inet {names.table}\ndelete table inet {names.table}\n"


def dhcp_hosts(plan: NetworkPlan) -> str:
    """What dnsmasq reads as `dhcp-hostsfile`: MAC, address, hostname, and a lease that is never to be renewed."""
    return "".join(f"{tap.attachment.mac},{tap.attachment.ip},{tap.instance},infinite\n" for tap in plan.taps)


def subnets(plan: NetworkPlan) -> tuple[ipaddress.IPv4Network, ...]:
    """The networks in which dnsmasq has to answer: one, unless the worker's subnet has just changed."""
    found = {ipaddress.IPv4Interface(tap.attachment.address).network for tap in plan.taps}
    return tuple(sorted(found))
