"""A worker's network plan as nftables text: one transaction that leaves alone what the resolver has permitted.

Only packets from or to this worker's taps are judged, so that several workers and the host's own rules go together: in
nftables a packet passes when every table lets it.
"""

from collections.abc import Iterable, Sequence

from worker.netplan import TAP_GROUP, NetworkNames, NetworkPlan

CHAINS = ("pinned", "to_host", "through_host", "nat_in", "nat_local", "nat_out")
"""The chains of a worker's table in family inet; its table in family arp has `pinned`."""
PERMITTED = "permitted"
"""The set of (tap, address) that the resolver fills; each element ends by itself."""
UPLINKS = "uplinks"
"""The set of interfaces that did not forward before a worker made them: they go on forwarding nothing else."""
FLOWS = "flows"
"""How many flows each tap has; it counts by itself."""
MOST_FLOWS = 32_768
"""That one guest may have open: the machine's table of connections (262,144 by default) is everybody's."""


_CLIENT_MAC = "@th,288,48"
"""`chaddr` of a DHCP message (RFC 2131): who it is about, whatever its frame says."""


def ruleset(plan: NetworkPlan, *, anew: bool = False) -> str:
    """The worker's tables as one transaction; established flows go on, since conntrack is not the table's.

    Chains and sets are filled anew, what the resolver has permitted stays. `anew`: the tables are made from nothing,
    for when an earlier version of them is in the way.
    """
    table = plan.names.table
    start = removal(plan.names) if anew else ""
    return f"{start}{_sets(plan)}{_inet_chains(plan)}{_arp(table, plan)}"


def removal(names: NetworkNames) -> str:
    """The transaction that removes the worker's tables, there or not."""
    tables = [f"{family} {names.table}" for family in ("inet", "arp")]
    return "".join(f"add table {table}\ndelete table {table}\n" for table in tables)


def permission(names: NetworkNames, permits: Iterable[tuple[str, str, int]]) -> str:
    """The transaction that lets taps reach addresses for so many seconds from now, whatever they had before."""
    lines = []
    for tap, address, seconds in permits:
        where, what = f"element inet {names.table} {PERMITTED}", f'"{tap}" . {address}'
        # Adding again does not renew the time of what is there; deleting needs it to be there.
        lines += [f"add {where} {{ {what} }}", f"delete {where} {{ {what} }}"]
        lines.append(f"add {where} {{ {what} timeout {seconds}s }}")
    return "\n".join((*lines, ""))


def withdrawal(names: NetworkNames, permits: Iterable[tuple[str, str]]) -> str:
    """The transaction that takes permissions away which are there."""
    elements = ", ".join(f'"{tap}" . {address}' for tap, address in permits)
    return f"delete element inet {names.table} {PERMITTED} {{ {elements} }}\n" if elements else ""


def uplinks_added(names: NetworkNames, interfaces: Iterable[str]) -> str:
    """The transaction that notes interfaces which begin to forward because of us."""
    listed = ", ".join(f'"{name}"' for name in interfaces)
    return f"add element inet {names.table} {UPLINKS} {{ {listed} }}\n" if listed else ""


def uplinks_released(names: NetworkNames) -> str:
    """The transaction that lets all interfaces forward again whatever others permit."""
    return f"flush set inet {names.table} {UPLINKS}\n"


def _sets(plan: NetworkPlan) -> str:
    table = plan.names.table
    pairs, incoming = (
        [f"{pair.source} . {pair.destination} . {pair.port}" for pair in which] for which in (plan.pairs, plan.incoming)
    )
    targets = [f"{one.address} . {one.port}" for one in plan.published]
    leads = [f"{one.machine_port} : {one.address} . {one.port}" for one in plan.published]
    names = [f'"{name}"' for name in plan.open_taps], [f'"{name}"' for name in plan.allow_taps]
    return "".join(
        (
            f"add table inet {table}\nadd table arp {table}\n",
            f"add set inet {table} {PERMITTED} {{ type ifname . ipv4_addr; flags timeout; }}\n",
            f"add set inet {table} {UPLINKS} {{ type ifname; }}\n",
            f"add set inet {table} {FLOWS} {{ type ifname; size 65535; flags dynamic; }}\n",
            _filled(table, "set", "pins", "type ifname . ether_addr . ipv4_addr", _pins(plan)),
            _filled(table, "set", "macs", "type ifname . ether_addr", _macs(plan)),
            _filled(table, "set", "askers", f"typeof iifname . {_CLIENT_MAC}", _askers(plan)),
            _filled(table, "set", "gateways", "type ipv4_addr", plan.gateways),
            _filled(table, "set", "mine", "type ipv4_addr", [tap.attachment.ip for tap in plan.taps]),
            _filled(table, "set", "elsewhere", "type ipv4_addr", plan.elsewhere),
            _filled(table, "set", "pairs", "type ipv4_addr . ipv4_addr . inet_service", pairs),
            _filled(table, "set", "incoming", "type ipv4_addr . ipv4_addr . inet_service", incoming),
            _filled(table, "set", "open_taps", "type ifname", names[0]),
            _filled(table, "set", "allow_taps", "type ifname", names[1]),
            _filled(table, "set", "published", "type ipv4_addr . inet_service", targets),
            _filled(table, "map", "leads", "type inet_service : ipv4_addr . inet_service", leads),
        )
    )


def _pins(plan: NetworkPlan) -> list[str]:
    return [f'"{tap.name}" . {tap.attachment.mac} . {tap.attachment.ip}' for tap in plan.taps]


def _macs(plan: NetworkPlan) -> list[str]:
    return [f'"{tap.name}" . {tap.attachment.mac}' for tap in plan.taps]


def _askers(plan: NetworkPlan) -> list[str]:
    return [f'"{tap.name}" . 0x{tap.attachment.mac.replace(":", "")}' for tap in plan.taps]


def _filled(table: str, what: str, name: str, kind: str, elements: Sequence[str], *, family: str = "inet") -> str:
    listed = ", ".join(sorted(set(elements)))
    fill = f"add element {family} {table} {name} {{ {listed} }}\n" if listed else ""
    where = f"{family} {table} {name}"
    return f"add {what} {where} {{ {kind}; }}\nflush {what} {where}\n{fill}"


def _chain(table: str, name: str, hook: str, rules: Iterable[str], *, family: str = "inet") -> str:
    where = f"{family} {table} {name}"
    lines = [f"add chain {where} {{ {hook}; policy accept; }}", f"flush chain {where}"]
    return "\n".join((*lines, *(f"add rule {where} {rule}" for rule in rules), ""))


def _inet_chains(plan: NetworkPlan) -> str:
    table, taps = plan.names.table, f'"{plan.names.tap_prefix}*"'
    pinned = (
        f"iifname != {taps} accept",
        "meta nfproto != ipv4 drop",
        "iifname . ether saddr . ip saddr @pins accept",
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 iifname . ether saddr @macs accept",
        "drop",
    )
    crowded = f"ct state new add @{FLOWS} {{ iifname ct count over {MOST_FLOWS} }} drop"
    to_host = (
        f"iifname != {taps} accept",
        crowded,
        # Only about itself: who declines or releases another guest's address keeps that guest from it.
        f"udp sport 68 udp dport 67 iifname . {_CLIENT_MAC} @askers accept",
        "meta l4proto { tcp, udp } ip daddr @gateways th dport 53 accept",
        "ct state established,related accept",
        "drop",
    )
    through_host = (
        f"iifname @{UPLINKS} meta oifgroup != {TAP_GROUP} drop",
        f"iifname != {taps} oifname != {taps} accept",
        # What belongs to no flow gets no NAT either: it would leave with an address of the inside.
        "ct state invalid drop",
        "ct state established,related accept",
        f"iifname {taps} {crowded}",
        # Addresses are believed of taps only, which are pinned: from a link anybody may send in a guest's name.
        f"iifname {taps} meta l4proto {{ tcp, udp }} ip saddr . ip daddr . th dport @pairs accept",
        f"iifname != {taps} meta l4proto {{ tcp, udp }} ip saddr . ip daddr . th dport @incoming accept",
        f"iifname != {taps} meta l4proto {{ tcp, udp }} ct status dnat ip daddr . th dport @published accept",
        # The link's own, as a cloud's metadata service: what it tells is this machine's, no guest's.
        "ip daddr 169.254.0.0/16 drop",
        f"oifname != {taps} ip daddr != @elsewhere iifname @open_taps accept",
        f"oifname != {taps} ip daddr != @elsewhere iifname @allow_taps iifname . ip daddr @{PERMITTED} accept",
        "drop",
    )
    leads = [f"fib daddr type local dnat ip to {protocol} dport map @leads" for protocol in ("tcp", "udp")]
    led_in = [f"iifname != {taps} {rule}" for rule in leads]
    outward = (
        f"ip saddr @mine oifname != {taps} ip daddr != @elsewhere masquerade",
        f"ip saddr 127.0.0.0/8 oifname {taps} ct status dnat masquerade",
    )
    return "".join(
        (
            _chain(table, "pinned", "type filter hook prerouting priority raw", pinned),
            _chain(table, "to_host", "type filter hook input priority filter", to_host),
            _chain(table, "through_host", "type filter hook forward priority filter", through_host),
            _chain(table, "nat_in", "type nat hook prerouting priority dstnat", led_in),
            _chain(table, "nat_local", "type nat hook output priority -100", leads),
            _chain(table, "nat_out", "type nat hook postrouting priority srcnat", outward),
        )
    )


def _arp(table: str, plan: NetworkPlan) -> str:
    """Only a guest's own address is believed from it, or none, as in a probe (RFC 5227)."""
    taps = f'"{plan.names.tap_prefix}*"'
    pinned = (
        f"iifname != {taps} accept",
        "iifname . arp saddr ether . arp saddr ip @pins accept",
        "arp saddr ip 0.0.0.0 iifname . arp saddr ether @macs accept",
        "drop",
    )
    return "".join(
        (
            _filled(table, "set", "pins", "type ifname . ether_addr . ipv4_addr", _pins(plan), family="arp"),
            _filled(table, "set", "macs", "type ifname . ether_addr", _macs(plan), family="arp"),
            _chain(table, "pinned", "type filter hook input priority filter", pinned, family="arp"),
        )
    )
