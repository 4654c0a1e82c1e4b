"""An ASGI app by https: for who believes the CA, and for nobody in the clear."""

import ssl
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from schema.errors import InvalidInput
from schema.http import serve_http
from schema.rpc.transport.tls import ServerTls
from schema.tests.certificates import certificates

APP = Starlette(routes=[Route("/", lambda _: PlainTextResponse("well"))])


async def test_whoever_believes_the_ca_is_answered_and_plain_http_is_not(tmp_path: Path) -> None:
    known = certificates(tmp_path, name="localhost")
    believing = ssl.create_default_context(cafile=str(known.client.ca))
    async with trio.open_nursery() as nursery:
        serve = partial(serve_http, APP, host="127.0.0.1", port=0, graceful_seconds=0.1, tls=known.server)
        port = (await nursery.start(serve)).rpartition(":")[2]
        async with httpx.AsyncClient(verify=believing, trust_env=False, timeout=30) as client:
            assert (await client.get(f"https://localhost:{port}/")).text == "well"
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://localhost:{port}/")
        async with httpx.AsyncClient(trust_env=False, timeout=30) as stranger:
            with pytest.raises(httpx.ConnectError):
                await stranger.get(f"https://localhost:{port}/")
        nursery.cancel_scope.cancel()


async def test_files_that_make_no_certificate_are_named(tmp_path: Path) -> None:
    missing = ServerTls(tmp_path / "none.crt", tmp_path / "none.key")
    with pytest.raises(InvalidInput, match=r"none\.crt"):
        await serve_http(APP, host="127.0.0.1", port=0, tls=missing)
