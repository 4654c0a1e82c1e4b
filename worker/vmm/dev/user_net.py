"""A user-mode network card's backend, from the file that the worker wrote for it; it opens no port itself.

For development without root: QEMU's slirp routes for one guest alone. Guests do not see one another, `restrict` keeps
one from everything but the ports that are forwarded to it, and nothing else is enforced.
"""

import ipaddress
import json
import re

from worker.vmm.dev.answers import GuestFailed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MOST_PORT = 65_535


def file_of(folder: str, card: str) -> str:
    """The file that says what the card called `card` gets; raises GuestFailed."""
    if _NAME.fullmatch(card) is None:
        raise GuestFailed(f"{card[:40]!r} is no name of a user-mode network card")
    return f"{folder}/{card}.json"


def backend(text: str, slot: int) -> str:
    """QEMU's `-netdev` for a card whose file holds `text`; raises GuestFailed.

    `address` is the guest's with its prefix length, `gateway` the host's, `name` the guest's by DHCP; `forwards` are
    triples of an address and a port of this machine and the guest's port (TCP); `restrict`: nothing goes out.
    """
    try:
        given = json.loads(text)
        interface = ipaddress.IPv4Interface(str(given["address"]))
        gateway = ipaddress.IPv4Address(str(given["gateway"]))
        forwards = [
            (ipaddress.IPv4Address(str(to)), _port(port), _port(inside)) for to, port, inside in given["forwards"]
        ]
        restrict, name = given["restrict"] is not False, str(given["name"])
        if _HOST_NAME.fullmatch(name) is None or gateway not in interface.network:
            raise ValueError("its name or gateway is none")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GuestFailed(f"the user-mode network card's file is none: {str(error)[:200]}") from error
    words = [
        f"user,id=net{slot},ipv6=off,restrict={'on' if restrict else 'off'}",
        f"net={interface.network},host={gateway},dhcpstart={interface.ip},dns={_nobody(interface, gateway)}",
        f"hostname={name}",
        *(f"hostfwd=tcp:{to}:{port}-{interface.ip}:{inside}" for to, port, inside in forwards),
    ]
    return ",".join(words)


def _nobody(interface: ipaddress.IPv4Interface, gateway: ipaddress.IPv4Address) -> ipaddress.IPv4Address:
    """The highest address that is neither the guest's nor the gateway's: there slirp answers for names."""
    highest = interface.network.broadcast_address
    return next(one for one in (highest - 1, highest - 2, highest - 3) if one not in (interface.ip, gateway))


def _port(given: object) -> int:
    if not isinstance(given, int) or not 0 < given <= _MOST_PORT:
        raise ValueError(f"{given!r} is no port")
    return given
