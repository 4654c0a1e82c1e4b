"""What crosses the machine's other interfaces: routes to other workers, and who forwards, through netlink."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import trio
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from schema.errors import Unavailable
from worker.netplan import Route

_FORWARDING = Path("/proc/sys/net/ipv4/conf")
_TAP_LENGTH = 15
_MAIN_TABLE = 254


async def idle_uplinks() -> tuple[str, ...]:
    """The interfaces that are up with an IPv4 address, are no worker's taps and do not forward."""
    return await trio.to_thread.run_sync(_idle_uplinks)


async def forwards_anyway() -> bool:
    """Whether somebody made the whole machine a router (`ip_forward`), which is none of a worker's doing."""
    return _forwards("all")


async def set_forwarding(interfaces: Iterable[str], *, on: bool) -> None:
    """Whether what comes in by these interfaces may be forwarded; one that is gone is fine. Raises Unavailable."""
    try:
        for name in interfaces:
            with suppress(FileNotFoundError):
                (_FORWARDING / name / "forwarding").write_text("1" if on else "0")
    except OSError as error:
        raise Unavailable(f"cannot change who forwards packets: {error}") from error


async def set_routes(routes: Iterable[Route], *, metric: int) -> tuple[str, ...]:
    """Make exactly these the routes of `metric`; the subnets that cannot be had, because their worker is not on a link.

    A worker on this very machine needs none: its taps have routes of their own. Raises Unavailable.
    """
    return await trio.to_thread.run_sync(_set_routes, list(routes), metric)


def _is_tap(name: str) -> bool:
    return len(name) == _TAP_LENGTH and name.startswith("p") and name.isalnum()


def _idle_uplinks() -> tuple[str, ...]:
    with IPRoute() as netlink:
        names = {int(link["index"]): str(link.get("ifname")) for link in netlink.get_links() if link["state"] == "up"}
        addressed = {int(address["index"]) for address in netlink.get_addr(family=2)}
    found = [names[index] for index in addressed if index in names]
    return tuple(sorted(name for name in found if name != "lo" and not _is_tap(name) and not _forwards(name)))


def _forwards(name: str) -> bool:
    try:
        return (_FORWARDING / name / "forwarding").read_text().strip() == "1"
    except OSError:
        return True  # it has just gone


def _set_routes(routes: list[Route], metric: int) -> tuple[str, ...]:
    refused: list[str] = []
    try:
        with IPRoute() as netlink:
            mine = {str(address.get("address")) for address in netlink.get_addr(family=2)}
            wanted = {route.subnet: route.via for route in routes if route.via not in mine}
            for known in netlink.get_routes(family=2, table=_MAIN_TABLE, priority=metric):
                subnet = f"{known.get('dst')}/{known['dst_len']}"
                if wanted.get(subnet) != known.get("gateway"):
                    with suppress(NetlinkError):  # it went meanwhile
                        netlink.route("del", dst=subnet, priority=metric)
            for subnet, via in wanted.items():
                if not _is_on_link(netlink, via):
                    refused.append(subnet)
                    continue
                netlink.route("replace", dst=subnet, gateway=via, priority=metric)
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"cannot set the routes to other workers: {error}") from error
    return tuple(sorted(refused))


def _is_on_link(netlink: IPRoute, address: str) -> bool:
    try:
        found = netlink.route("get", dst=address)
    except (NetlinkError, OSError):  # OSError: it is no address at all, which keeps nobody else's route away
        return False
    return bool(found) and found[0].get("gateway") is None
