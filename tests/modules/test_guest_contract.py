"""What guests declare (nix/lib/guest, nix/modules/guest.nix) and what the worker gives and asks: the same words."""

import re
from pathlib import Path
from typing import Any

import pytest

from nix.parts import AGENT_SOURCE, STAGES
from nix.tests.modules import evaluate
from nix.tests.places import NIX
from worker.guest.frames import AGENT_PORT, MOST_PAYLOAD
from worker.guest.switch import NO_DISK, PROGRAM
from worker.netplan import NetworkNames, NetworkPlan, Tap, dhcp_hosts
from worker.vm_state import Attachment
from worker.vm_steps import STORE_SERIAL
from worker.vmm.dev.mux import MAGIC, WINDOW
from worker.vmm.dev.qemu_arguments import PORT_NAME, balloon_device, disk_device, net_device, vsock_devices
from worker.volumes import volume_serial

AGENT = AGENT_SOURCE.read_text()
SERIAL_BYTES = 20
"""All that virtio has room for."""
DRIVERS = {
    "virtio-blk-pci": "virtio_blk",
    "virtio-net-pci": "virtio_net",
    "virtio-serial-pci": "virtio_console",
    "virtio-balloon-pci": "virtio_balloon",
    "virtio-rng-pci": "virtio_rng",
}
HOSTNAME_OPTION = 12
"""RFC 2132, 3.14."""
NETWORK = NetworkNames("worker-1")
OF_CLOUD_HYPERVISOR = {"vmw_vsock_virtio_transport", "virtio_pci"}


def defined(name: str) -> str:
    found = re.search(rf'^#define {name} "?([^"\n]+)"?$', AGENT, re.MULTILINE)
    assert found is not None, name
    return found[1]


async def guest(tmp_path: Path, lib: Path, wanted: str) -> Any:
    return await evaluate(tmp_path, lib, f"let inherit (machine [ modules.guest ]) config; in {wanted}")


def test_the_agent_listens_where_the_worker_connects() -> None:
    assert int(defined("GUEST_PORT")) == AGENT_PORT
    assert int(defined("MOST_PAYLOAD")) == MOST_PAYLOAD
    assert defined("PORT_NAME") == PORT_NAME
    assert int(defined("WINDOW")) == WINDOW
    assert f'MAGIC[16] = "{MAGIC.decode()}"' in AGENT


async def test_the_agents_ready_file_lies_where_the_guest_makes_room(tmp_path: Path, lib: Path) -> None:
    directory = defined("READY_FILE").rpartition("/")[0]
    assert f"d {directory} 0755 root root -" in await guest(tmp_path, lib, "config.systemd.tmpfiles.rules")


async def test_both_guests_find_their_disks_by_the_workers_serials(tmp_path: Path, lib: Path) -> None:
    names = ["data", "a", "x" * 63, "with-hyphens-9"]
    written = " ".join(f'"{name}"' for name in names)
    serials = await evaluate(tmp_path, lib, f"map library.serialOf [ {written} ]")
    assert serials == [volume_serial(name) for name in names]
    store = await guest(tmp_path, lib, 'config.fileSystems."/nix/store".device')
    assert store == f"/dev/disk/by-id/virtio-{STORE_SERIAL}"
    assert f'[ "$name" = {STORE_SERIAL} ]' in (NIX / "lib/guest/stage1.sh").read_text()
    assert max(map(len, [*serials, STORE_SERIAL])) <= SERIAL_BYTES


async def test_both_guests_load_the_drivers_of_all_that_the_hypervisors_have(tmp_path: Path, lib: Path) -> None:
    devices = (disk_device({}, 2), net_device({}, 3), *vsock_devices(4), balloon_device({}, 5))
    drivers = {str(device["driver"]) for device in devices} - {"virtserialport"}
    assert drivers | {"virtio-rng-pci"} == set(DRIVERS), "what QEMU is given"
    needed = set(DRIVERS.values()) | OF_CLOUD_HYPERVISOR
    boot = "config.boot.kernelModules ++ config.boot.initrd.kernelModules ++ config.boot.initrd.availableKernelModules"
    assert needed <= set(await guest(tmp_path, lib, boot))
    assert needed <= {module for stage in STAGES.values() for module in stage}


async def test_a_nixos_guests_lease_goes_by_the_mac_that_the_worker_gave(tmp_path: Path, lib: Path) -> None:
    network = await guest(tmp_path, lib, 'config.systemd.network.networks."10-procurator".dhcpV4Config')
    assert (network["ClientIdentifier"], network["RequestOptions"]) == ("mac", HOSTNAME_OPTION)
    attachment = Attachment(address="10.77.0.2/24", gateway="10.77.0.1", mac="02:00:0a:4d:00:02")
    plan = NetworkPlan(names=NETWORK, taps=(Tap("t0", "web-0", attachment),), pairs=())
    assert dhcp_hosts(plan) == "02:00:0a:4d:00:02,10.77.0.2,web-0,infinite\n"


async def test_a_guests_switch_is_the_program_that_the_worker_starts(tmp_path: Path, lib: Path) -> None:
    names = await guest(tmp_path, lib, "map (program: program.name) config.environment.systemPackages")
    assert PROGRAM in names
    script = (NIX / "lib/guest/procurator-switch.sh").read_text()
    assert f'[ "$serial" != {NO_DISK} ]' in script


@pytest.mark.parametrize("wanted", ["console=ttyS0", "panic=1"])
async def test_both_guests_speak_on_the_serial_port_and_reset_after_a_panic(
    tmp_path: Path, lib: Path, wanted: str
) -> None:
    assert wanted in await guest(tmp_path, lib, "config.boot.kernelParams")
    assert f'"{wanted}"' in (NIX / "lib/system.nix").read_text()
