"""The VMs' range stays out of the host's way."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.up.subnet import candidates, choose_range, networks_in_fib_trie
from schema.errors import Unavailable

SAMPLE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.64.0.0/10 2 0 2
        |-- 10.66.0.0
           /16 link UNICAST
           /24 link UNICAST
Local:
     |-- 10.66.0.1
        /32 host LOCAL
"""

networks = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0AFFFFFF),
    st.integers(9, 32),
)


def test_routes_and_addresses_are_read_and_the_default_route_is_not() -> None:
    assert list(networks_in_fib_trie(SAMPLE)) == [
        IPv4Network("10.66.0.0/16"),
        IPv4Network("10.66.0.0/24"),
        IPv4Network("10.66.0.1/32"),
    ]


def test_this_machines_own_loopback_is_found() -> None:
    assert IPv4Network("127.0.0.0/8") in set(networks_in_fib_trie(Path("/proc/net/fib_trie").read_text()))


def test_a_taken_range_is_passed_over() -> None:
    assert choose_range([], preference=2) == IPv4Network("10.66.0.0/16")
    assert choose_range(networks_in_fib_trie(SAMPLE), preference=2) == IPv4Network("10.67.0.0/16")


def test_a_route_to_all_of_10_leads_elsewhere() -> None:
    assert choose_range([IPv4Network("10.0.0.0/8")], preference=0) == IPv4Network("172.16.0.0/16")


def test_a_full_machine_is_told_so() -> None:
    everything = [IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    with pytest.raises(Unavailable, match="every private /16"):
        choose_range(everything, preference=0)


@given(used=st.lists(networks, max_size=30), preference=st.integers(0, 2**32))
def test_the_chosen_range_never_overlaps_what_is_used(used: list[IPv4Network], preference: int) -> None:
    chosen = choose_range(used, preference=preference)
    assert not any(chosen.overlaps(network) for network in used)
    assert chosen in set(candidates(0))
