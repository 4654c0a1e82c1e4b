"""`guest.nix`, and how `mkCluster` tells a configuration what the cluster knows of its VM."""

from pathlib import Path

import pytest

from nix.tests.modules import evaluate
from schema.errors import CommandFailed

DB = """
  { cluster = "c"; vms.db = {
      cpu = 1; memoryMb = 256;
      volumes.data = { sizeMb = 8; mount = "/var/lib/db"; };
      env.LOG = "it's";
      network.nic = false;
      configuration = %s;
  }; }
"""
SERIAL = "vol-3a6eb0790f39ac87"


async def test_mkcluster_tells_a_configuration_its_volumes_environment_and_network_card(
    tmp_path: Path, lib: Path
) -> None:
    found = await evaluate(
        tmp_path,
        lib,
        f"""let
          cluster = library.mkCluster {DB % "machine [ modules.guest ]"};
          inherit (cluster.nixosConfigurations.db) config;
          inherit (config) fileSystems procurator systemd;
        in [ procurator.guest fileSystems systemd.globalEnvironment systemd.network cluster.blueprint ]""",
    )
    guest, files, environment, network, blueprint = found
    assert guest["volumes"] == {"data": {"mount": "/var/lib/db", "serial": SERIAL}}
    assert files["/var/lib/db"]["device"] == f"/dev/disk/by-id/virtio-{SERIAL}"
    assert files["/nix/store"]["device"] == "/dev/disk/by-id/virtio-store"
    assert environment == {"LOG": "it's"}
    assert network["networks"] == {}
    assert "configuration" not in blueprint["vms"]["db"]


async def test_a_configuration_may_be_a_function_of_what_the_cluster_knows(tmp_path: Path, lib: Path) -> None:
    function = "{ name, env, volumes, nic, module }: machine [ modules.guest module { networking.hostName = name; } ]"
    config = await evaluate(
        tmp_path,
        lib,
        f"""let inherit ((library.mkCluster {DB % f"({function})"}).nixosConfigurations.db) config;
        in {{ inherit (config.networking) hostName; inherit (config.procurator) guest; }}""",
    )
    assert config["hostName"] == "db"
    assert config["guest"]["env"] == {"LOG": "it's"}
    assert config["guest"]["nic"] is False


@pytest.mark.parametrize("other", ["machine [ ]", "{ config.system.build.toplevel = 1; }"])
async def test_a_configuration_that_could_not_mount_its_volume_is_refused(
    tmp_path: Path, lib: Path, other: str
) -> None:
    with pytest.raises(CommandFailed, match=r"has not the module guest\.nix of Procurator") as caught:
        await evaluate(tmp_path, lib, f"(library.mkCluster {DB % other}).nixosConfigurations.db.config")
    assert "volumes and env and network.nic = false cannot reach its System" in caught.value.stderr.decode()


async def test_a_guest_takes_address_and_name_from_its_lease(tmp_path: Path, lib: Path) -> None:
    config = await evaluate(tmp_path, lib, "(machine [ modules.guest ]).config")
    network = config["systemd"]["network"]["networks"]["10-procurator"]
    assert network["matchConfig"] == {"Name": "eth0"}
    assert network["dhcpV4Config"] == {
        "ClientIdentifier": "mac",
        "RequestOptions": 12,
        "UseDomains": True,
        "UseHostname": False,
    }
    assert config["networking"]["hostName"] == ""
    assert "console=ttyS0" in config["boot"]["kernelParams"]
    assert set(config["systemd"]["services"]) == {"procurator-agent", "procurator-hostname"}


async def test_a_guest_with_a_name_of_its_own_keeps_it(tmp_path: Path, lib: Path) -> None:
    named = '{ networking.hostName = "mine"; }'
    services = await evaluate(tmp_path, lib, f"(machine [ modules.guest {named} ]).config.systemd.services")
    assert set(services) == {"procurator-agent"}


async def test_a_guests_agent_outlives_the_switch_that_it_carries_out(tmp_path: Path, lib: Path) -> None:
    systemd = await evaluate(tmp_path, lib, "(machine [ modules.guest ]).config.systemd")
    unit = systemd["services"]["procurator-agent"]
    assert (unit["restartIfChanged"], unit["stopIfChanged"]) == (False, False)
    assert unit["serviceConfig"]["ExecStart"].endswith("-procurator-guest-agent/bin/guest-agent")
    assert systemd["tmpfiles"]["rules"] == ["d /run/procurator 0755 root root -"]


async def test_a_guest_may_go_without_its_agent(tmp_path: Path, lib: Path) -> None:
    off = "{ procurator.guest.agent.enable = false; }"
    systemd = await evaluate(tmp_path, lib, f"(machine [ modules.guest {off} ]).config.systemd")
    assert set(systemd["services"]) == {"procurator-hostname"}
    assert systemd["tmpfiles"]["rules"] == []


async def test_services_are_heard_on_the_console_with_either_way_to_say_so(tmp_path: Path, lib: Path) -> None:
    older = await evaluate(tmp_path, lib, "(machine [ modules.guest ]).config.services.journald")
    assert older == {"console": "/dev/ttyS0"}
    newer = """{ lib, ... }: {
      options.services.journald.settings = lib.mkOption { type = with lib.types; attrsOf (attrsOf anything); };
    }"""
    found = await evaluate(tmp_path, lib, f"(machine [ modules.guest ({newer}) ]).config.services.journald.settings")
    assert found == {"Journal": {"ForwardToConsole": True, "TTYPath": "/dev/ttyS0"}}
