"""The kernel's table of connections, through netlink: forgets those of guests; which may be begun is the firewall's."""

from collections.abc import Iterable
from contextlib import suppress
from socket import AF_INET

import trio
from pyroute2 import NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from schema.errors import Unavailable


async def forget(addresses: Iterable[str]) -> int:
    """Forget the flows that these addresses began, so that each is judged anew; how many. Raises Unavailable."""
    return await trio.to_thread.run_sync(_forget, frozenset(addresses))


def _forget(addresses: frozenset[str]) -> int:
    forgotten = 0
    try:
        with NFCTSocket() as conntrack:
            begun = [entry.get_attr("CTA_TUPLE_ORIG") for entry in conntrack.dump()]
            for each in begun:
                if each.get_attr("CTA_TUPLE_IP").get_attr("CTA_IP_V4_SRC") in addresses:
                    with suppress(NetlinkError):  # it has ended
                        conntrack.entry("del", tuple_orig=NFCTAttrTuple.from_netlink(AF_INET, each))
                        forgotten += 1
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"cannot look through the machine's connections: {error}") from error
    return forgotten
