"""Routed taps through netlink, in-process: made, listed and removed; whom they may talk to is the firewall's."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import trio
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from schema.errors import Unavailable
from worker.netplan import Tap

_SETTINGS = {
    # The guest believes its whole subnet on the link: the host answers for all of it, at once, and forwards.
    "ipv4/conf/{tap}/proxy_arp": "1",
    "ipv4/neigh/{tap}/proxy_delay": "0",
    "ipv4/conf/{tap}/forwarding": "1",
    # Only the gateway's own address is the host's on this link; sources must be routed back to it.
    "ipv4/conf/{tap}/arp_ignore": "1",
    "ipv4/conf/{tap}/rp_filter": "1",
    "ipv4/conf/{tap}/accept_redirects": "0",
    "ipv4/conf/{tap}/send_redirects": "0",
    "ipv6/conf/{tap}/disable_ipv6": "1",
}
_SYSCTL = Path("/proc/sys/net")


async def ensure_tap(tap: Tap) -> None:
    """Make the persistent tap, up, with the gateway's address and the route to its instance; again is harmless.

    Raises Unavailable where the machine does not let us.
    """
    await trio.to_thread.run_sync(_ensure, tap)


async def remove_tap(name: str) -> None:
    """Remove a tap with its address and route; one that is not there is fine."""
    await trio.to_thread.run_sync(_remove, [name])


async def remove_taps(names: Iterable[str]) -> None:
    """Remove several at once."""
    await trio.to_thread.run_sync(_remove, list(names))


async def taps_of(prefix: str) -> tuple[str, ...]:
    """All interfaces whose name begins with `prefix`."""
    return await trio.to_thread.run_sync(_named, prefix)


def _ensure(tap: Tap) -> None:
    attachment = tap.attachment
    try:
        with IPRoute() as netlink:
            index = _index(netlink, tap.name)
            if index is None:
                netlink.link("add", ifname=tap.name, kind="tuntap", mode="tap")
                index = _index(netlink, tap.name)
            for address in netlink.get_addr(index=index):
                if address.get("address") != attachment.gateway:
                    with suppress(NetlinkError):
                        netlink.addr("del", index=index, address=address.get("address"), prefixlen=address["prefixlen"])
            with suppress(NetlinkError):  # it is there already
                netlink.addr("add", index=index, address=attachment.gateway, prefixlen=32)
            _set_up(tap.name)
            netlink.link("set", index=index, state="up")
            for route in netlink.get_routes(oif=index, table=254):
                if route.get("dst") != attachment.ip:
                    with suppress(NetlinkError):
                        netlink.route("del", dst=f"{route.get('dst')}/{route['dst_len']}", oif=index)
            netlink.route("replace", dst=f"{attachment.ip}/32", oif=index, prefsrc=attachment.gateway, scope="link")
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"cannot make the tap {tap.name} of {tap.instance}: {error}") from error


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
