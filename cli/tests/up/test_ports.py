"""A busy port is told with its holder and the way out."""

import os
import socket

import pytest

from cli.up.plan import Ports
from cli.up.ports import check_free, holder, is_free
from schema.errors import InvalidInput, Unavailable
from schema.tests.ports import a_quiet_port


def test_a_busy_port_is_named_with_its_holder_and_the_way_out() -> None:
    port = a_quiet_port()
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(host="127.0.0.1", port=port)
        assert holder(port).endswith(f"(pid {os.getpid()})")
        with pytest.raises(Unavailable) as caught:
            check_free({port: "repohub"}, host="127.0.0.1")
    assert f"port {port}, which repohub needs, is held by" in caught.value.message
    assert f"(pid {os.getpid()})" in caught.value.message
    assert "--port-offset" in caught.value.message
    check_free({port: "repohub"}, host="127.0.0.1")


def test_a_port_that_nobody_holds_is_held_by_nobody_we_know() -> None:
    assert holder(a_quiet_port()) == "another process"


def test_ports_are_the_designs_and_an_offset_moves_them_all() -> None:
    assert Ports(0).by_service(workers=2) == {
        7400: "control-plane",
        7401: "control-plane",
        7402: "worker-0",
        7412: "worker-1",
        7403: "ci",
        7404: "cache",
        3001: "repohub",
    }
    moved = Ports(1000).by_service(workers=2)
    assert set(moved) == {port + 1000 for port in Ports(0).by_service(workers=2)}


def test_no_two_services_share_a_port() -> None:
    assert len(Ports(0).by_service(workers=100)) == 5 + 100


@pytest.mark.parametrize("offset", [60_000, -3001])
def test_an_offset_out_of_range_is_refused(offset: int) -> None:
    with pytest.raises(InvalidInput, match=str(offset)):
        Ports(offset).by_service(workers=1)
