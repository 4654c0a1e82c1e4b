"""Routed taps through netlink, in-process: made, listed and removed; whom they may talk to is the firewall's."""

import fcntl
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import trio
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from schema.errors import Unavailable
from worker.netplan import TAP_GROUP, Tap

_SETTINGS = {
    # The guest believes its whole subnet on the link: the host answers for all of it, at once, and forwards.
    "ipv4/conf/{tap}/proxy_arp": "1",
    "ipv4/neigh/{tap}/proxy_delay": "0",
    # A guest that is just starting is asked for again soon, so that its first check does not wait for a whole second.
    "ipv4/neigh/{tap}/retrans_time_ms": "100",
    "ipv4/conf/{tap}/forwarding": "1",
    # Only the gateway's own address is the host's on this link; sources must be routed back to it.
    "ipv4/conf/{tap}/arp_ignore": "1",
    "ipv4/conf/{tap}/rp_filter": "1",
    # A published port is to be had at the machine's 127.0.0.1, too; what guests send there, the rules drop.
    "ipv4/conf/{tap}/route_localnet": "1",
    "ipv4/conf/{tap}/accept_redirects": "0",
    "ipv4/conf/{tap}/send_redirects": "0",
    "ipv6/conf/{tap}/disable_ipv6": "1",
}
_SYSCTL = Path("/proc/sys/net")
_DEVICES = Path("/sys/class/net")
_TUNSETIFF, _TUNSETOWNER = 0x400454CA, 0x400454CC
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_MAIN_TABLE = 254


async def ensure_taps(taps: Iterable[Tap]) -> None:
    """Make the persistent taps, up, each with its gateway's address and its instance's route; again is harmless.

    Raises Unavailable where the machine does not let us.
    """
    await trio.to_thread.run_sync(_ensure, list(taps))


async def own_tap(name: str, owner: int | None) -> None:
    """Let the user `owner` open the tap, and else only root. Raises Unavailable, also while somebody has it open."""
    await trio.to_thread.run_sync(_own, name, owner)


async def remove_taps(names: Iterable[str]) -> None:
    """Remove taps with their addresses and routes, all at once; one that is not there is fine."""
    await trio.to_thread.run_sync(_remove, list(names))


async def taps_of(prefix: str) -> tuple[str, ...]:
    """All interfaces whose name begins with `prefix`."""
    return await trio.to_thread.run_sync(_named, prefix)


def _ensure(taps: list[Tap]) -> None:
    try:
        with IPRoute() as netlink:
            there = {str(link.get("ifname")): int(link["index"]) for link in netlink.get_links()}
            for tap in taps:
                if tap.name not in there:
                    netlink.link("add", ifname=tap.name, kind="tuntap", mode="tap")
                    there[tap.name] = netlink.link_lookup(ifname=tap.name)[0]
            wanted = {there[tap.name]: tap for tap in taps}
            _drop_old(netlink, wanted)
            for index, tap in wanted.items():
                gateway, route = tap.attachment.gateway, f"{tap.attachment.ip}/32"
                with suppress(NetlinkError):  # it is there already
                    netlink.addr("add", index=index, address=gateway, prefixlen=32)
                _set_up(tap.name)
                netlink.link("set", index=index, state="up", group=TAP_GROUP)
                netlink.route("replace", dst=route, oif=index, prefsrc=gateway, scope="link")
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"cannot make the taps of {', '.join(tap.instance for tap in taps)}: {error}") from error


def _own(name: str, owner: int | None) -> None:
    try:
        owned = _DEVICES / name / "owner"
        known = int(owned.read_text()) if owned.exists() else -1  # no tap, so nobody's: a veth in its place
        if known == (-1 if owner is None else owner):
            return
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
            fcntl.ioctl(device, _TUNSETOWNER, -1 if owner is None else owner)
        finally:
            os.close(device)
    except OSError as error:
        raise Unavailable(f"cannot give the tap {name} to user {owner}: {error}") from error


def _drop_old(netlink: IPRoute, wanted: dict[int, Tap]) -> None:
    """Addresses and routes of an earlier attachment."""
    for route in netlink.get_routes(table=_MAIN_TABLE):
        tap = wanted.get(route.get("oif"))
        if tap and route.get("dst") != tap.attachment.ip:
            with suppress(NetlinkError):
                netlink.route("del", dst=f"{route.get('dst')}/{route['dst_len']}", oif=route.get("oif"))
    for address in netlink.get_addr():
        tap, known = wanted.get(address["index"]), address.get("address")
        if tap and known != tap.attachment.gateway:
            with suppress(NetlinkError):
                netlink.addr("del", index=address["index"], address=known, prefixlen=address["prefixlen"])


def _set_up(name: str) -> None:
    for setting, value in _SETTINGS.items():
        file = _SYSCTL / setting.format(tap=name)
        if file.exists():  # a kernel without IPv6 has nothing to switch off
            file.write_text(value)


def _index(netlink: IPRoute, name: str) -> int | None:
    found = netlink.link_lookup(ifname=name)
    return found[0] if found else None


def _remove(names: list[str]) -> None:
    with IPRoute() as netlink:
        for name in names:
            index = _index(netlink, name)
            if index is not None:
                with suppress(NetlinkError):  # gone meanwhile
                    netlink.link("del", index=index)


def _named(prefix: str) -> tuple[str, ...]:
    with IPRoute() as netlink:
        names = [str(link.get("ifname")) for link in netlink.get_links()]
    return tuple(sorted(name for name in names if name.startswith(prefix)))
