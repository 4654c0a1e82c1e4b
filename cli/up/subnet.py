"""Choose a network range that the host has no route or address in; it reads nothing itself."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from schema.errors import Unavailable


def networks_in_fib_trie(text: str) -> Iterator[IPv4Network]:
    """Every prefix of every routing table in `/proc/net/fib_trie`, without default routes.

    A leaf is `|-- ADDRESS`, and each line `/LENGTH scope TYPE` below it is a route; addresses of the host are among
    them as /32 of the table `local`.
    """
    leaf = "0.0.0.0"  # noqa: S104 - an address in a table, nothing listens
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            leaf = words[1]
        elif words and words[0].startswith("/") and words[0] != "/0":
            yield IPv4Network((IPv4Address(leaf), int(words[0][1:])), strict=False)


def candidates(preference: int) -> Iterator[IPv4Network]:
    """The private /16s in the order in which they are tried: `preference` rotates the first 192, away from others'."""
    upper = [IPv4Network(f"10.{second}.0.0/16") for second in range(64, 256)]
    start = preference % len(upper)
    yield from upper[start:] + upper[:start]
    yield from (IPv4Network(f"172.{second}.0.0/16") for second in range(16, 32))
    yield from (IPv4Network(f"10.{second}.0.0/16") for second in range(64))
    yield IPv4Network("192.168.0.0/16")


def choose_range(used: Iterable[IPv4Network], *, preference: int) -> IPv4Network:
    """The first candidate that overlaps nothing in `used`. Raises Unavailable."""
    taken: Sequence[IPv4Network] = tuple(used)
    for candidate in candidates(preference):
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise Unavailable(
        "this machine has a route or an address in every private /16, so there is none for the VMs; "
        "free one, or set [network] range in the control plane's settings"
    )
