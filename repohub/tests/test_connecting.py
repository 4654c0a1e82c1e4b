"""The cluster page over the real wire: a control plane's socket that comes, changes, goes away and comes back."""

from functools import partial
from pathlib import Path

import trio

from repohub.connecting import connect_to
from repohub.settings import ControlPlaneSettings
from repohub.tests.running import FakeMaster, a_repohub, a_status
from schema.interfaces import Identity, Role
from schema.rpc.server import serve_control_plane
from schema.rpc.transport.sockets import UnixAddress
from schema.status import Convergence
from schema.tests.rpc.cluster import MemoryBackend


class FakeBackend(MemoryBackend):
    """A control plane for viewers only."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeMaster()
        self.roles: list[Role] = []

    def master(self, identity: Identity) -> FakeMaster:
        self.roles.append(identity.role)
        return self.fake


async def test_the_cluster_page_follows_a_control_plane_over_its_socket(tmp_path: Path) -> None:
    socket = tmp_path / "control-plane.sock"
    backend = FakeBackend()
    connect = connect_to(ControlPlaneSettings(socket=socket))
    page = ""

    async def page_says(text: str) -> None:
        nonlocal page
        with trio.fail_after(60):
            while text not in (page := (await hub.http.get("/cluster")).text):  # noqa: ASYNC110 - a page is asked
                await trio.sleep(0.05)

    async with a_repohub(tmp_path, connect=connect) as hub:
        await page_says("the control plane is away")
        for word in ("first time", "second time"):
            backend.fake.status = a_status(reason=word)
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(serve_control_plane, backend, address=UnixAddress(socket)))
                await page_says(word)
                assert "away" not in page
                backend.fake.show(a_status(convergence=Convergence.PROGRESSING, reason=f"{word} rolling out"))
                await page_says(f"{word} rolling out")
                nursery.cancel_scope.cancel()
            await page_says("the control plane is away")
            assert f"{word} rolling out" in page
    assert set(backend.roles) == {Role.VIEWER}


async def test_a_refused_login_is_said_on_the_page(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("wrong")
    token.chmod(0o600)
    socket = tmp_path / "control-plane.sock"
    connect = connect_to(ControlPlaneSettings(socket=socket, token_file=token))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_control_plane, FakeBackend(), address=UnixAddress(socket)))
        async with a_repohub(tmp_path, connect=connect) as hub:
            await trio.sleep(0.5)
            assert "the control plane is away" in (await hub.http.get("/cluster")).text
        nursery.cancel_scope.cancel()


def test_without_an_address_there_is_nothing_to_connect_to() -> None:
    assert connect_to(ControlPlaneSettings()) is None
