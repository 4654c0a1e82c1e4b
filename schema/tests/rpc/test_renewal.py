"""A certificate that is renewed under a server that goes on: new connections get it, open ones notice nothing."""

import shutil
import ssl
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import rsa

from schema.http import serve_http
from schema.rpc.transport.renewal import states_of
from schema.rpc.transport.serve import connect
from schema.rpc.transport.sockets import TcpAddress
from schema.tests.certificates import Certificates, certificates
from schema.tests.frame.test_https import APP
from schema.tests.rpc.peers import ECHO, echo_server, wait_until

LOOK_SECONDS = 0.01


@pytest.fixture
def known(tmp_path: Path) -> Certificates:
    made = certificates(tmp_path)
    return replace(made, server=replace(made.server, look_seconds=LOOK_SECONDS))


@pytest.fixture
def renewed(tmp_path: Path) -> Certificates:
    (tmp_path / "new").mkdir()
    return certificates(tmp_path / "new")


def shown(port: int) -> str:
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=30)


async def until_shown(port: int, wanted: Path) -> None:
    with trio.fail_after(60):
        while await trio.to_thread.run_sync(shown, port) != _pem(wanted):
            pass


def _pem(path: Path) -> str:
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(path.read_text()))


async def test_new_connections_get_a_renewed_certificate_and_open_ones_go_on(
    known: Certificates, renewed: Certificates
) -> None:
    async with echo_server(TcpAddress("127.0.0.1", 0, known.server)) as (_, real):
        assert isinstance(real, TcpAddress)
        believing = replace(real, tls=known.client)
        async with connect(believing, interface=ECHO.Echo, deadline=30) as dialled:
            shutil.copy(renewed.server.key, known.server.key)
            shutil.copy(renewed.server.certificate, known.server.certificate)
            await until_shown(real.port, renewed.server.certificate)
            assert (await dialled.bootstrap.echo(data=b"still here")).data == b"still here"
        async with connect(replace(real, tls=renewed.client), interface=ECHO.Echo, deadline=30) as dialled:
            assert (await dialled.bootstrap.echo(data=b"new")).data == b"new"


async def test_a_certificate_without_its_key_changes_nothing_until_the_key_comes(
    known: Certificates, renewed: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    before = _pem(known.server.certificate)
    async with echo_server(TcpAddress("127.0.0.1", 0, known.server)) as (_, real):
        assert isinstance(real, TcpAddress)
        shutil.copy(renewed.server.certificate, known.server.certificate)
        await wait_until(lambda: "the certificate is not renewed" in caplog.text)
        assert await trio.to_thread.run_sync(shown, real.port) == before
        shutil.copy(renewed.server.key, known.server.key)
        await until_shown(real.port, renewed.server.certificate)


async def test_a_certificate_with_another_kind_of_key_takes_the_place_of_the_old_one(
    known: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "rsa").mkdir()
    other = certificates(tmp_path / "rsa", key=rsa.generate_private_key(65537, 2048))
    async with echo_server(TcpAddress("127.0.0.1", 0, known.server)) as (_, real):
        assert isinstance(real, TcpAddress)
        shutil.copy(other.server.key, known.server.key)
        shutil.copy(other.server.certificate, known.server.certificate)
        await until_shown(real.port, other.server.certificate)


def test_a_key_that_becomes_readable_is_looked_at_again(known: Certificates) -> None:
    before = states_of(known.server)
    known.server.key.chmod(0o400)
    assert states_of(known.server) != before


async def test_https_gets_a_renewed_certificate_too(known: Certificates, renewed: Certificates) -> None:
    async with trio.open_nursery() as nursery:
        serve = partial(serve_http, APP, host="127.0.0.1", port=0, graceful_seconds=0.1, tls=known.server)
        port = int((await nursery.start(serve)).rpartition(":")[2])
        renewed.server.key.replace(known.server.key)
        shutil.copy(renewed.server.certificate, known.server.certificate)
        await until_shown(port, renewed.server.certificate)
        nursery.cancel_scope.cancel()
