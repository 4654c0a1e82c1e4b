"""Who may ask for which names, and what becomes of a question: pure, from the assignment alone; it speaks no DNS.

A guest is known by its address, which the firewall pins to its tap. It learns the addresses of what its `connect` names
and of itself, of the domains that its `egress` lists, and with `open` of everything; all else is refused.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schema.assignment import Peer
from schema.blueprint import EgressMode
from worker.netplan import NetworkNames, addresses_by_vm, domain_of
from worker.vm_state import Attachment, Desired

Subnet = ipaddress.IPv4Network
_NEVER = tuple(
    map(Subnet, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4"))
)
"""Addresses that no name outside may stand for: this machine's own, link-local (metadata services), multicast."""


class Fate(StrEnum):
    """What becomes of a question."""

    HERE = "here"
    FORWARD = "forward"
    EMPTY = "empty"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Client:
    """A guest that asks. `names` are the cluster's names that it may know, without the domain."""

    instance: str
    tap: str
    mode: EgressMode
    domains: frozenset[str]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that questions are judged by. `hosts` are by name without the domain, `clients` by address."""

    domain: str = ""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    clients: Mapping[str, Client] = field(default_factory=dict)
    subnets: tuple[Subnet, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a question, and with HERE the addresses."""

    fate: Fate
    addresses: tuple[str, ...] = ()


def resolver_policy(
    names: NetworkNames,
    desired: Mapping[str, Desired],
    attached: Mapping[str, Attachment],
    peers: Iterable[Peer] = (),
) -> Policy:
    """The policy of an assignment; who is attached and not assigned any more may ask nothing."""
    others = [peer for peer in peers if peer.instance not in desired]
    hosts: dict[str, tuple[str, ...]] = {}
    for vm, found in addresses_by_vm(desired, others).items():
        hosts[vm] = tuple(address for _, address in sorted(found))
        hosts.update({instance: (address,) for instance, address in found})
    clients = {
        attached[instance].ip: _client(names, entry, hosts)
        for instance, entry in desired.items()
        if instance in attached
    }
    nets = {ipaddress.IPv4Interface(where.address).network for where in attached.values()}
    return Policy(domain_of(desired), hosts, clients, tuple(sorted(nets | {Subnet(peer.subnet) for peer in others})))


def _client(names: NetworkNames, entry: Desired, hosts: Mapping[str, tuple[str, ...]]) -> Client:
    network = entry.content.spec.network
    targets = {target.partition(":")[0] for target in network.connect}
    known = {name for name in hosts if name in targets or name.rpartition("-")[0] in targets}
    return Client(
        instance=entry.instance,
        tap=names.tap(entry.instance),
        mode=network.egress.mode,
        domains=frozenset(domain.lower() for domain in network.egress.domains),
        names=frozenset(known | {entry.instance}),
    )


def decide(policy: Policy, client: Client, name: str, kind: str) -> Decision:
    """What becomes of a question for `name` (lower case, no dot at its end) of type `kind` (`A`, `AAAA`, `TXT`…)."""
    inside = _inside(policy, name)
    if inside is not None:
        if inside not in client.names:
            return Decision(Fate.UNKNOWN)
        return Decision(Fate.HERE, policy.hosts[inside]) if kind == "A" else Decision(Fate.EMPTY)
    if client.mode is EgressMode.OPEN:
        # There is no IPv6 to go out by: an address of that kind would only cost a guest its time.
        return Decision(Fate.EMPTY if kind in ("AAAA", "HTTPS", "SVCB") else Fate.FORWARD)
    if client.mode is EgressMode.ALLOW and is_listed(name, client.domains):
        return Decision(Fate.FORWARD if kind == "A" else Fate.EMPTY)
    return Decision(Fate.REFUSED)


def _inside(policy: Policy, name: str) -> str | None:
    """The cluster's own name that is meant, None for one outside. A name without dots is one of the cluster."""
    if "." not in name:
        return name
    if policy.domain and name.endswith("." + policy.domain):
        return name.removesuffix("." + policy.domain)
    return None


def is_listed(name: str, domains: Iterable[str]) -> bool:
    """Whether a list of domains lets `name` through: `x.org` exactly that, `*.x.org` all below it and not itself.

    A name with an escape is in none: an escaped dot is part of a label, and what looks like x.org's is one of org's.
    """
    return "\\" not in name and any(
        name.endswith(domain[1:]) and len(name) > len(domain) - 1 if domain.startswith("*.") else name == domain
        for domain in domains
    )


def usable(policy: Policy, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of an upstream's addresses that a guest may be sent to: none of this machine's own, none in the cluster."""
    found = []
    for address in addresses:
        parsed = ipaddress.IPv4Address(address)
        if not any(parsed in subnet for subnet in (*_NEVER, *policy.subnets)):
            found.append(address)
    return tuple(found)
