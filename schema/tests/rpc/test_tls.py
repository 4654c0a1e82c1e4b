"""TLS under TCP: who is believed, who is not, and what a peer that does not play along costs."""

import datetime
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from capnp import KjException

from schema.errors import DeadlineExceeded, InvalidInput, ProcuratorError, Unauthenticated, Unavailable
from schema.interfaces import Role, TokenCredential
from schema.rpc.client import open_session
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.serve import connect, serve
from schema.rpc.transport.sockets import Address, TcpAddress, parse_address
from schema.rpc.transport.tls import ClientTls, ServerTls, server_tls
from schema.tests.certificates import Certificates, certificates
from schema.tests.rpc.cluster import STATUS, a_control_plane
from schema.tests.rpc.peers import ECHO, echo_client, echo_server, wait_until


@pytest.fixture
def known(tmp_path: Path) -> Certificates:
    return certificates(tmp_path)


def listening(known: Certificates) -> TcpAddress:
    return TcpAddress("127.0.0.1", 0, known.server)


def believing(real: Address, tls: ClientTls | None) -> TcpAddress:
    assert isinstance(real, TcpAddress)
    return replace(real, tls=tls)


async def test_a_session_over_tls(known: Certificates) -> None:
    async with (
        a_control_plane(listening(known)) as (_, real),
        open_session(believing(real, known.client), Role.VIEWER, TokenCredential("viewer-token")) as master,
    ):
        assert await master.get_cluster_status() == STATUS


async def refused(address: TcpAddress) -> ProcuratorError:
    with pytest.raises(ProcuratorError) as raised:
        async with connect(address, interface=ECHO.Echo, deadline=30) as dialled:
            await dialled.bootstrap.echo(data=b"secret")
    return raised.value


async def test_a_server_of_another_ca_is_not_believed(known: Certificates, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = certificates(tmp_path / "other")
    async with echo_server(listening(known)) as (server, real):
        error = await refused(believing(real, other.client))
        assert isinstance(error, Unauthenticated)
        assert "not believed" in error.message
        assert not server.connections


async def test_a_server_of_another_name_is_not_believed(known: Certificates) -> None:
    async with echo_server(listening(known)) as (_, real):
        error = await refused(believing(real, replace(known.client, name="elsewhere.test")))
        assert isinstance(error, Unauthenticated)
        assert "elsewhere.test" in error.message


async def test_an_expired_certificate_is_not_believed(tmp_path: Path) -> None:
    old = certificates(tmp_path, end=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
    async with echo_server(listening(old)) as (_, real):
        error = await refused(believing(real, old.client))
        assert isinstance(error, Unauthenticated)
        assert "expired" in error.message


async def test_tls_and_none_do_not_meet(known: Certificates) -> None:
    async with echo_server(listening(known)) as (server, real):
        with pytest.raises(KjException):  # the raw call of the tests' peer: the server has hung up under it
            async with echo_client(believing(real, None)) as client:
                await client.bootstrap.echo(data=b"secret")
        assert not server.connections
    async with echo_server(TcpAddress("127.0.0.1", 0)) as (_, real):
        error = await refused(believing(real, known.client))
        assert isinstance(error, Unavailable)
        assert "TLS" in error.message


async def test_a_stranger_that_never_shakes_hands_costs_nobody_else(known: Certificates) -> None:
    async with echo_server(listening(known)) as (server, real):
        assert isinstance(real, TcpAddress)
        with socket.create_connection((real.host, real.port)):
            async with echo_client(believing(real, known.client)) as client:
                assert (await client.bootstrap.echo(data=b"x")).data == b"x"
        assert len(server.connections) == 1


async def test_a_stranger_that_never_shakes_hands_is_dropped(known: Certificates) -> None:
    async with echo_server(listening(known), Limits(stranger_seconds=0.2)) as (server, real):
        assert isinstance(real, TcpAddress)
        with socket.create_connection((real.host, real.port)) as mute:
            mute.setblocking(False)

            def hung_up() -> bool:
                try:
                    return mute.recv(1) == b""
                except BlockingIOError:
                    return False

            await wait_until(hung_up)
        assert not server.connections


async def test_a_server_that_never_shakes_hands_meets_the_deadline(known: Certificates) -> None:
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()
    mute = TcpAddress("127.0.0.1", listener.getsockname()[1], known.client)
    with pytest.raises(DeadlineExceeded):
        async with connect(mute, interface=ECHO.Echo, deadline=0.2):
            pass
    listener.close()


async def test_garbage_and_a_peer_that_leaves_end_a_handshake_and_nothing_else(known: Certificates) -> None:
    async with echo_server(listening(known)) as (_, real):
        assert isinstance(real, TcpAddress)
        for sent in (b"", b"\x16", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(512)):
            with socket.create_connection((real.host, real.port)) as peer:
                peer.sendall(sent)
        async with echo_client(believing(real, known.client)) as client:
            assert (await client.bootstrap.echo(data=b"x")).data == b"x"


async def test_files_that_do_not_serve_are_told_at_the_start(known: Certificates, tmp_path: Path) -> None:
    for wrong in (
        replace(known.server, certificate=tmp_path / "none.pem"),
        replace(known.server, key=known.client.ca),
        replace(known.server, certificate=known.client.ca),
    ):
        with pytest.raises(InvalidInput, match="TLS"):
            await serve(lambda _: None, address=TcpAddress("127.0.0.1", 0, wrong))
    async with echo_server(listening(known)) as (_, real):
        for ca in (tmp_path / "none.pem", known.server.key):
            error = await refused(believing(real, ClientTls(ca, "x")))
            assert isinstance(error, InvalidInput)
            assert "as a CA" in error.message


async def test_each_side_needs_its_own_settings(known: Certificates) -> None:
    with pytest.raises(InvalidInput, match="caller's TLS"):
        await serve(lambda _: None, address=TcpAddress("127.0.0.1", 0, known.client))
    with pytest.raises(InvalidInput, match="listener's TLS"):
        async with echo_client(TcpAddress("127.0.0.1", 1, known.server)):
            pass


def test_half_a_configuration_is_refused(known: Certificates) -> None:
    assert server_tls(None, None) is None
    assert server_tls(known.server.certificate, known.server.key) == known.server
    for half in (
        lambda: server_tls(known.server.certificate, None),
        lambda: server_tls(None, known.server.key),
        lambda: parse_address("unix:/run/x.sock", tls=known.client),
    ):
        with pytest.raises(InvalidInput):
            half()
    assert parse_address("127.0.0.1:1", tls=known.client) == TcpAddress("127.0.0.1", 1, known.client)
    assert isinstance(known.server, ServerTls)
