"""How a client's settings name a control plane."""

from pathlib import Path

import pytest

from schema.errors import InvalidInput
from schema.rpc.reaching import reach
from schema.rpc.transport.sockets import TcpAddress, UnixAddress
from schema.rpc.transport.tls import ClientTls

CA = Path("/ca.crt")


def test_a_ca_makes_it_tls_under_the_hosts_name_or_another() -> None:
    assert reach("cp.example:7400", ca=CA) == TcpAddress("cp.example", 7400, ClientTls(CA, "cp.example"))
    assert reach("[2001:db8::1]:7400", ca=CA) == TcpAddress("2001:db8::1", 7400, ClientTls(CA, "2001:db8::1"))
    assert reach("10.0.0.1:1", ca=CA, server_name="cp") == TcpAddress("10.0.0.1", 1, ClientTls(CA, "cp"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "[::1]", "localhost"])
def test_this_machine_is_reached_as_it_is(host: str) -> None:
    assert reach(f"{host}:1") == TcpAddress(host.strip("[]"), 1)


def test_a_unix_socket_has_no_tls() -> None:
    assert reach("unix:/run/cp.sock") == UnixAddress(Path("/run/cp.sock"))
    with pytest.raises(InvalidInput, match="has no TLS"):
        reach("unix:/run/cp.sock", ca=CA)


@pytest.mark.parametrize("host", ["10.0.0.1", "cp.example", "[2001:db8::1]", "128.0.0.1"])
def test_another_machine_without_tls_has_to_be_said(host: str) -> None:
    with pytest.raises(InvalidInput, match="on another machine and there is no TLS"):
        reach(f"{host}:1")
    assert reach(f"{host}:1", plaintext=True) == TcpAddress(host.strip("[]"), 1)


def test_half_of_it_is_refused_with_what_is_missing() -> None:
    with pytest.raises(InvalidInput, match=r"server_name is set, and ca .* is missing"):
        reach("cp.example:1", server_name="cp", plaintext=True)
