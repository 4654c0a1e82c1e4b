"""Subnets for workers, addresses and MACs for instances; all deterministic, and it reserves nothing itself.

A worker gets the lowest free /24 of the range; an instance the lowest free host of it. The network's own address, the
first host (the gateway) and the broadcast address are never given: 253 instances a worker.
"""

import hashlib
import ipaddress
from collections.abc import Iterable

from schema.errors import Unavailable

FIRST_HOST = 2
LAST_HOST = 254
ADDRESSES = LAST_HOST - FIRST_HOST + 1
ALL_HOSTS = (1 << (LAST_HOST + 1)) - (1 << FIRST_HOST)


def free_subnet(range_text: str, taken: Iterable[str]) -> str:
    """The lowest /24 of `range_text` that no worker has. Raises Unavailable when all are taken."""
    used = set(taken)
    network = ipaddress.IPv4Network(range_text)
    # By hand: a new object for each of thousands of subnets that are taken would make every login slow.
    first = int(network.network_address)
    for number in range(first, first + network.num_addresses, 256):
        subnet = f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.0/24"
        if subnet not in used:
            return subnet
    raise Unavailable(f"every /24 of {range_text} belongs to a worker; a wider [network] range is needed")


def host_of(address: str) -> int:
    """The last number of `10.77.0.2/24`."""
    return int(address.partition("/")[0].rpartition(".")[2])


def host_bit(host: int) -> int:
    """One host as a bit of those of its /24."""
    return 1 << host


def free_host(taken: int) -> int | None:
    """The lowest host number whose bit is not set in `taken`, None when all are."""
    free = ALL_HOSTS & ~taken
    return (free & -free).bit_length() - 1 if free else None


def address_in(prefix: str, host: int) -> str:
    """The `host`th address of the /24 that begins with `prefix` (`10.77.0`), with its prefix length."""
    return f"{prefix}.{host}/24"


def mac_of(*, realm: str, instance: str) -> str:
    """An instance's MAC: 02 (locally administered, unicast), then the first 5 bytes of SHA-256("realm/instance")."""
    digest = hashlib.sha256(f"{realm}/{instance}".encode()).digest()
    return f"02:{digest[:5].hex(':')}"
