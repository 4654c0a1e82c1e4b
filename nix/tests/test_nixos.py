"""The example with NixOS guests, and our modules with the whole of NixOS where there is one."""

import json
from pathlib import Path

import pytest

from nix.tests.modules import MACHINES, SERVICES, WORKER, evaluate
from nix.tests.places import EXAMPLE, NIX, REPOSITORY, whole_nixpkgs
from schema.blueprint import Blueprint

EXAMPLE_CLUSTER = f"""
  given: library.evalCluster {{
    inherit lib;
    modules = [ {EXAMPLE}/nixos/cluster.nix ];
    specialArgs.guest = given;
  }}
"""
PLATFORM = 'nixpkgs.hostPlatform = "x86_64-linux";'
OF_OUR_MACHINE = """
  system.stateVersion = "25.05";
  fileSystems."/" = { device = "/dev/sda"; fsType = "ext4"; };
  boot.loader.grub.enable = false;
  documentation.enable = false;
"""


LONG = 300
"""Seconds for evaluations of NixOS: some take ten on an idle machine."""


def flake_of(whole: Path) -> str:
    """nixpkgs as a flake's input, without copying it to the store."""
    return f"""(
      let input = (import {whole}/flake.nix).outputs {{ self = input; }} // {{
        outPath = {whole};
        lastModified = 1;
        lastModifiedDate = "19700101000001";
      }}; in input
    )"""


def our_flake(whole: Path) -> str:
    return f"""(
      let ours = (import {REPOSITORY}/flake.nix).outputs {{ self = ours; nixpkgs = {flake_of(whole)}; }}; in ours
    )"""


@pytest.fixture
def whole() -> Path:
    return whole_nixpkgs()


def without_memory(blueprint: Blueprint) -> Blueprint:
    return blueprint.model_copy(
        update={"vms": {name: vm.model_copy(update={"memory_mb": 32}) for name, vm in blueprint.vms.items()}}
    )


async def test_the_nixos_example_is_the_same_cluster_with_more_memory(tmp_path: Path, lib: Path) -> None:
    made = await evaluate(tmp_path, lib, f"(({EXAMPLE_CLUSTER}) (_module: {{ }})).blueprintJSON")
    golden = Blueprint.model_validate_json((EXAMPLE / "blueprint.json").read_bytes())
    ours = Blueprint.model_validate(made)
    assert without_memory(ours) == without_memory(golden)
    assert {vm.memory_mb for vm in ours.vms.values()} == {512}


def test_the_nixos_example_shows_the_same_page() -> None:
    assert (EXAMPLE / "nixos/web/index.html").read_bytes() == (EXAMPLE / "web/index.html").read_bytes()


async def test_each_guest_of_the_nixos_example_is_a_system(tmp_path: Path, whole: Path) -> None:
    found = await evaluate(
        tmp_path,
        whole / "lib",
        f"""let
          cluster = (import {EXAMPLE}/nixos/flake.nix).outputs {{
            self = cluster;
            nixpkgs = {flake_of(whole)};
            procurator = "{NIX}";
          }};
          look = name: {{ config, ... }}: {{
            failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
            inherit (config) warnings;
            inherit (config.boot) kernelParams;
            drv = config.system.build.toplevel.drvPath;
            fstab = config.environment.etc.fstab.text;
            units = builtins.mapAttrs (_name: unit: unit.text) config.systemd.units;
            networks = builtins.mapAttrs (_name: unit: unit.text) config.systemd.network.units;
            programs = map lib.getName config.environment.systemPackages;
            builder = config.system.systemBuilderCommands;
          }};
        in builtins.mapAttrs look cluster.nixosConfigurations""",
        deadline=LONG,
    )
    assert set(found) == {"web", "db", "batch"}
    for system in found.values():
        assert (system["failed"], system["warnings"]) == ([], [])
        assert system["drv"].endswith(".drv")
        assert {"console=ttyS0", "panic=1"} <= set(system["kernelParams"])
        assert "/dev/disk/by-id/virtio-store /nix/store erofs x-initrd.mount,ro" in system["fstab"]
        assert "OnFailure=poweroff.target\n" in system["units"]["local-fs.target"]
        assert "bin/guest-agent\n" in system["units"]["procurator-agent.service"]
        assert "ClientIdentifier=mac\nRequestOptions=12\n" in system["networks"]["10-procurator.network"]
        assert "procurator-switch" in system["programs"]
        assert "$out/bin/switch-to-configuration" in system["builder"], "what procurator-switch starts"
    assert "/dev/disk/by-id/virtio-vol-3a6eb0790f39ac87 /var/lib/db ext4" in found["db"]["fstab"]
    assert "DB_DIRECTORY=/var/lib/db" in found["db"]["units"]["db.service"]
    assert "nginx" in found["web"]["units"]["nginx.service"]


async def test_a_machine_with_all_services_is_a_system(tmp_path: Path, whole: Path) -> None:
    found = await evaluate(
        tmp_path,
        whole / "lib",
        f"""let
          it = import {whole}/nixos/lib/eval-config.nix {{
            inherit lib;
            system = null;
            modules = [
              modules.default
              {{ {MACHINES} {WORKER} {SERVICES} {OF_OUR_MACHINE} {PLATFORM} }}
              {{ nixpkgs.overlays = [ (final: prev: {{ procurator = prev.hello; }}) ]; }}
            ];
          }};
          inherit (it) config;
        in {{
          failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
          inherit (config) warnings;
          drv = config.system.build.toplevel.drvPath;
          worker = config.systemd.units."procurator-worker.service".text;
        }}""",
        deadline=LONG,
    )
    assert (found["failed"], found["warnings"]) == ([], [])
    assert found["drv"].endswith(".drv")
    assert "KillMode=process\n" in found["worker"]
    assert "Delegate=true\n" in found["worker"]


async def test_the_machines_of_the_guide_are_systems(tmp_path: Path, whole: Path) -> None:
    guide = (REPOSITORY / "docs/nixos.md").read_text().partition("```nix\n")[2].partition("```")[0]
    found = await evaluate(
        tmp_path,
        whole / "lib",
        f"""let
          flake = {our_flake(whole)};
          system = written: import {whole}/nixos/lib/eval-config.nix {{
            inherit lib;
            system = null;
            modules = [
              flake.nixosModules.default
              written
              {{ {OF_OUR_MACHINE} {PLATFORM} nixpkgs.overlays = [ flake.overlays.default ]; }}
            ];
          }};
          look = {{ config, ... }}: [
            (map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions))
            config.warnings
            (lib.hasSuffix ".drv" config.system.build.toplevel.drvPath)
          ];
        in builtins.mapAttrs (_name: written: look (system written)) ({guide})""",
        deadline=LONG,
    )
    assert found == {"hub": [[], [], True], "rack-1": [[], [], True]}


async def test_every_output_of_the_flake_is_a_derivation(tmp_path: Path, whole: Path) -> None:
    """The VM tests are evaluated to the end, too: their machines and the guest in one of them are built of ours."""
    found = await evaluate(
        tmp_path,
        whole / "lib",
        f"""let flake = {our_flake(whole)};
        in lib.genAttrs [ "packages" "checks" "devShells" ]
          (kind: builtins.mapAttrs (_name: made: made.drvPath) flake.${{kind}}.x86_64-linux)""",
        deadline=LONG,
    )
    assert {kind: set(made) for kind, made in found.items()} == {
        "packages": {"procurator", "default"},
        "checks": {"procurator", "worker-settings", "machine", "guest"},
        "devShells": {"default"},
    }
    assert all(path.endswith(".drv") for made in found.values() for path in made.values())


async def test_the_golden_blueprint_needs_no_default_to_be_said(tmp_path: Path, lib: Path) -> None:
    """What has its default is left out, however the author wrote it."""
    golden = json.loads((EXAMPLE / "blueprint.json").read_text())
    made = await evaluate(tmp_path, lib, f"(({EXAMPLE_CLUSTER}) (_module: {{ }})).blueprintJSON")
    for name, vm in made["vms"].items():
        assert {**vm, "memoryMb": 128} == golden["vms"][name]
