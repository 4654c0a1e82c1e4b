"""What a settings file may say."""

from pathlib import Path

import pytest

from schema.errors import InvalidInput
from schema.rpc.transport.sockets import TcpAddress
from schema.rpc.transport.tls import ClientTls
from schema.settings import load
from worker.settings import MAX_STATE_BYTES, Settings
from worker.vm_steps import runtime_directory

KEYS = """
[control_plane]
socket = "/run/cp.sock"
public_keys = ["control-plane-1:AAAA"]
[publishers]
public_keys = ["ci-1:AAAA"]
[caches]
public_keys = ["/etc/procurator/ci.pub"]
"""


def settings(folder: Path, text: str) -> Settings:
    file = folder / "worker.toml"
    file.write_text(text)
    return load(Settings, service="worker", path=file, environ={}).settings


def test_a_name_a_state_directory_and_keys_are_enough(tmp_path: Path) -> None:
    found = settings(tmp_path, f'name = "w-0"\nstate = "/var/lib/procurator"\n{KEYS}')
    assert found.store_root == Path("/var/lib/procurator/store")
    assert found.hypervisor.command == ("procurator-vmm",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'name = "w-0"\nstate = "relative"\n{KEYS}', "absolute"),
        (f'name = "w-0"\nstate = "/{"x" * 80}"\n{KEYS}', "leave room for 79"),
        (f'name = "W 0"\nstate = "/x"\n{KEYS}', "name"),
        (
            f'name = "w-0"\nstate = "/x"\n{KEYS}'.replace("[control_plane]", '[control_plane]\naddress = "h:1"'),
            "either",
        ),
        (f'name = "w-0"\nstate = "/x"\n{KEYS}'.replace('["ci-1:AAAA"]', "[]"), "publishers.public_keys"),
        (f'name = "w-0"\nstate = "/x"\nhypervizor = 1\n{KEYS}', "did you mean hypervisor"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        settings(tmp_path, text)


def test_the_control_plane_elsewhere_is_reached_by_tls_or_where_plaintext_is_said(tmp_path: Path) -> None:
    def over_tcp(*lines: str) -> Settings:
        text = "\n".join(['address = "cp.example:7400"', *lines])
        return settings(tmp_path, f'name = "w-0"\nstate = "/x"\n{KEYS}'.replace('socket = "/run/cp.sock"', text))

    assert over_tcp('ca = "/ca"').control_plane.reached == TcpAddress(
        "cp.example", 7400, ClientTls(Path("/ca"), "cp.example")
    )
    named = over_tcp('ca = "/ca"', 'server_name = "cp"').control_plane.reached
    assert named == TcpAddress("cp.example", 7400, ClientTls(Path("/ca"), "cp"))
    assert over_tcp("plaintext = true").control_plane.reached == TcpAddress("cp.example", 7400)
    with pytest.raises(InvalidInput, match="on another machine and there is no TLS"):
        over_tcp()
    with pytest.raises(InvalidInput, match=r"server_name is set, and ca .* is missing"):
        over_tcp('server_name = "cp"', "plaintext = true")
    with pytest.raises(InvalidInput, match="unix socket, which has no TLS"):
        settings(tmp_path, f'name = "w-0"\nstate = "/x"\n{KEYS}'.replace("[publishers]", 'ca = "/ca"\n[publishers]'))


def test_every_instance_has_a_directory_whose_sockets_can_be_bound() -> None:
    longest = Path("/" + "x" * (MAX_STATE_BYTES - 1)) / "vms"
    names = ["web-0", "a-very-long-name-of-a-virtual-machine-in-a-cluster-somewhere-99999", "x" * 63 + "-99999"]
    assert len({runtime_directory(longest, name).path for name in names}) == 3
    assert runtime_directory(Path("/s/vms"), "web-0").path == Path("/s/vms/web-0")
