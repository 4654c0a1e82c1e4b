"""The settings: what is needed, what is refused and what is the default."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from control_plane.app import pin_origin, read_key, rpc_addresses
from control_plane.events import OriginPinned
from control_plane.settings import Settings
from control_plane.tests.builders import CI_KEY, ORIGIN, a_snapshot
from schema.errors import InvalidInput
from schema.interfaces import Role
from schema.rpc.transport.sockets import TcpAddress
from schema.rpc.transport.tls import ServerTls

KEYS = {"assignment": "/keys/control-plane", "publishers": [str(CI_KEY.public)]}


def test_only_the_keys_have_no_default() -> None:
    settings = Settings.model_validate({"keys": KEYS})
    assert (settings.realm, settings.network.range) == ("default", "10.77.0.0/16")
    assert rpc_addresses(settings)[0] == TcpAddress("127.0.0.1", 7400)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keys": {**KEYS, "publishers": []}}, "at least one publisher"),
        ({"keys": {**KEYS, "publishers": ["ci"]}}, "name:base64"),
        ({"listen": {"rpc": "7400"}}, "host:port"),
        ({"network": {"range": "10.0.0.0/25"}}, "smaller than one /24"),
        ({"network": {"range": "10.0.0.1/16"}}, "host bits"),
        ({"tokens": [{"name": "x", "sha256": "0" * 64, "role": "worker"}]}, "role"),
        ({"tokens": [{"name": "x", "sha256": "0" * 64, "role": "viewer", "expires": "2030-01-01T00:00:00"}]}, "offset"),
        ({"socket": {"roles": {"root": "viewer"}}}, "pattern"),
        ({"socket": {"roles": {"1000": "worker"}}}, "roles.1000"),
        ({"origin": {"repository": "demo", "branch": "main"}}, "repository"),
        ({"retention": {"keepGenerations": 5}}, "Extra inputs"),
        ({"tls": {"certificate": "/c"}}, "certificate is set, and key .* is missing"),
        ({"tls": {"key": "/k"}}, "key is set, and certificate .* is missing"),
        ({"listen": {"rpc": "0.0.0.0:7400"}}, "rpc 0.0.0.0:7400 is reached by other machines and there is no TLS"),
        ({"listen": {"http": "[::]:7401"}}, "http .* is reached by other machines and there is no TLS"),
        ({"workers": {"policy": "trust"}}, "manual"),
        ({"workers": {"auto_networks": ["192.0.2.0/33"]}}, "auto_networks"),
    ],
)
def test_wrong_settings_are_refused_with_the_reason(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({"keys": KEYS, **wrong})


def test_other_machines_are_listened_to_with_tls_or_where_plaintext_is_said() -> None:
    files = {"certificate": "/c", "key": "/k"}
    listen = {"rpc": "192.0.2.1:1", "http": "192.0.2.1:2"}
    secured = Settings.model_validate({"keys": KEYS, "listen": listen, "tls": files})
    assert rpc_addresses(secured)[0] == TcpAddress("192.0.2.1", 1, ServerTls(Path("/c"), Path("/k")))
    assert secured.http_tls == ServerTls(Path("/c"), Path("/k"))
    assert Settings.model_validate({"keys": KEYS, "tls": files}).http_tls is None, "loopback needs no https"
    said = Settings.model_validate({"keys": KEYS, "listen": {"rpc": "192.0.2.1:1", "plaintext": True}})
    assert rpc_addresses(said)[0] == TcpAddress("192.0.2.1", 1)


def test_other_uids_may_connect_only_where_some_have_a_role() -> None:
    closed = Settings.model_validate({"keys": KEYS})
    open_ones = Settings.model_validate({"keys": KEYS, "socket": {"roles": {"1000": "viewer"}}})
    assert getattr(rpc_addresses(closed)[1], "mode", 0) == 0o600
    assert getattr(rpc_addresses(open_ones)[1], "mode", 0) == 0o666
    assert open_ones.socket.roles == {"1000": Role.VIEWER}


def test_the_origin_of_the_settings_wins_over_the_one_on_disk() -> None:
    origin = {"repository": ORIGIN.repository, "branch": ORIGIN.branch}
    settings = Settings.model_validate({"keys": KEYS, "origin": origin})
    assert settings.origin is not None
    assert pin_origin(a_snapshot(), origin=settings.origin.origin) == (OriginPinned(ORIGIN),)


def test_a_key_that_others_can_read_is_refused_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(CI_KEY.reveal())
    assert read_key(path) == CI_KEY
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="mode 0640, so others can read it: chmod 600") as refused:
        read_key(path)
    path.chmod(0o600)
    path.write_text(CI_KEY.reveal()[:-9])
    with pytest.raises(InvalidInput) as damaged:
        read_key(path)
    for error in (refused, damaged):
        assert CI_KEY.reveal().partition(":")[2][:20] not in error.value.message
    with pytest.raises(InvalidInput, match="cannot read"):
        read_key(tmp_path / "none")
