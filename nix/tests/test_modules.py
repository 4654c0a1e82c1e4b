"""The services' NixOS modules: what they come to, and what they refuse."""

import json
from pathlib import Path

import pytest

from nix.tests.modules import MACHINES, SERVICES, WORKER, a_machine, evaluate
from nix.tests.places import STAND_IN_LIB
from schema.errors import CommandFailed


async def test_the_master_is_found_through_the_clusters_machines(tmp_path: Path, lib: Path) -> None:
    text, failed = await a_machine(
        tmp_path, lib, MACHINES + WORKER, wanted="[ config.services.procurator.rendered.worker failed ]"
    )
    assert 'address = "10.0.0.1:7400"' in text
    assert 'name = "worker-1"' in text
    assert 'zone = "a"' in text
    assert failed == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            'services.procurator.worker.master = lib.mkForce "control-plane-9";',
            'services.procurator.worker.master: "control-plane-9" is no control plane in cluster.machines'
            " (there are control-plane-1)",
        ),
        (
            'services.procurator.worker.master = lib.mkForce "worker-1";',
            'services.procurator.worker.master: "worker-1" is no control plane in cluster.machines'
            " (there are control-plane-1)",
        ),
        (
            "services.procurator.worker.master = lib.mkForce null;",
            "services.procurator.worker: needs either master (a control plane in cluster.machines) or socket",
        ),
        (
            'services.procurator.worker.socket = "/run/x.sock";',
            "services.procurator.worker: needs either master (a control plane in cluster.machines) or socket",
        ),
        (
            'networking.hostName = lib.mkForce "Worker.example.org";',
            'services.procurator.worker.name: "Worker.example.org" is not a DNS label'
            " (a-z, 0-9 and inner -, at most 63)",
        ),
        (
            "services.procurator.worker.publisherKeys = lib.mkForce [ ];",
            "services.procurator.worker.publisherKeys: is empty, so no generation could be believed",
        ),
        (
            "services.procurator.worker.controlPlaneKeys = lib.mkForce [ ];",
            "services.procurator.worker.controlPlaneKeys: is empty, so no assignment could be believed",
        ),
    ],
)
async def test_a_worker_that_could_not_work_is_told_why(tmp_path: Path, lib: Path, change: str, message: str) -> None:
    failed = await evaluate(
        tmp_path, lib, f"(machine [ modules.worker {{ {MACHINES} {WORKER} }} {{ {change} }} ]).failed"
    )
    assert failed == [message]


async def test_a_control_plane_that_is_none_of_the_machines_is_told_so(tmp_path: Path, lib: Path) -> None:
    change = 'services.procurator.control-plane.machine = "worker-1";'
    failed = await a_machine(tmp_path, lib, MACHINES + SERVICES + change, wanted="failed")
    assert failed == [
        'services.procurator.control-plane.machine: "worker-1" is no control plane in cluster.machines'
        " (there are control-plane-1)"
    ]


async def test_a_restart_of_the_worker_ends_no_vm_and_no_switch_does(tmp_path: Path, lib: Path) -> None:
    worker, vms = await a_machine(
        tmp_path,
        lib,
        MACHINES + WORKER,
        wanted="[ config.systemd.services.procurator-worker config.systemd.services.procurator-vms ]",
    )
    unit = worker["serviceConfig"]
    assert (unit["KillMode"], unit["Delegate"], unit["OOMPolicy"]) == ("process", True, "continue")
    assert "PrivateTmp" not in unit  # it would end with the unit, under the VMs that go on
    # The VMs' own unit stops after the worker's, and only when the machine goes down.
    assert vms["serviceConfig"]["ExecStop"].endswith("--config /etc/procurator/worker.toml --stop-vms")
    assert (vms["restartIfChanged"], vms["stopIfChanged"]) == (False, False)
    assert "procurator-vms.service" in worker["after"]
    assert "procurator-vms.service" in worker["wants"]


async def test_services_with_a_user_of_their_own_are_shut_in(tmp_path: Path, lib: Path) -> None:
    services, users = await a_machine(
        tmp_path, lib, MACHINES + SERVICES, wanted="[ config.systemd.services config.users.users ]"
    )
    for name in ("control-plane", "cache", "repohub"):
        unit = services[f"procurator-{name}"]["serviceConfig"]
        assert unit["User"] in users
        assert unit["CapabilityBoundingSet"] == ""
        for option in ("NoNewPrivileges", "PrivateDevices", "ProtectHome", "RestrictNamespaces", "PrivateTmp"):
            assert unit[option] is True, (name, option)
        assert (unit["ProtectSystem"], unit["UMask"], unit["StateDirectoryMode"]) == ("strict", "0077", "0700")
    # The control plane knows its peers by uid, which a user namespace of its own would hide.
    assert "PrivateUsers" not in services["procurator-control-plane"]["serviceConfig"]


async def test_what_makes_namespaces_keeps_the_whole_of_proc(tmp_path: Path, lib: Path) -> None:
    services = await a_machine(tmp_path, lib, MACHINES + WORKER + SERVICES, wanted="config.systemd.services")
    for name in ("ci", "worker"):
        unit = services[f"procurator-{name}"]["serviceConfig"]
        covering = {"ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset", "RestrictNamespaces"}
        assert not covering & set(unit), name
        assert unit["NoNewPrivileges"] is True


async def test_secrets_are_handed_to_the_service_alone(tmp_path: Path, lib: Path) -> None:
    services, rendered = await a_machine(
        tmp_path, lib, MACHINES + SERVICES, wanted="[ config.systemd.services config.services.procurator.rendered ]"
    )
    start = services["procurator-control-plane"]["serviceConfig"]["ExecStartPre"]
    assert len(start) == 1
    assert start[0].startswith("+")
    assert start[0].endswith(
        "install -m 0400 -o procurator-control-plane -g procurator-control-plane"
        " -- /etc/keys/control-plane /run/procurator-control-plane/signing-key"
    )
    assert 'assignment = "/run/procurator-control-plane/signing-key"' in rendered["control-plane"]
    assert 'signing_key_file = "/etc/keys/ci"' in rendered["ci"]  # it is root's own


@pytest.mark.parametrize("value", ["./secret", '"/nix/store/00000000000000000000000000000000-key"', '"secret"'])
async def test_a_secret_that_would_be_in_the_store_is_refused(tmp_path: Path, lib: Path, value: str) -> None:
    with pytest.raises(CommandFailed, match=r"services\.procurator\.ci\.signingKeyFile"):
        await evaluate(
            tmp_path,
            lib,
            f"""(machine [ modules.ci {{ {SERVICES.split("services.procurator.control-plane", 1)[0]}
              services.procurator.ci = {{
                enable = true;
                signingKeyFile = {value};
                hookTokenFile = "/t";
                uploadTokenFile = "/t";
              }};
            }} ]).config.services.procurator.rendered""",
        )


async def test_the_firewall_is_opened_only_where_it_is_asked_for(tmp_path: Path, lib: Path) -> None:
    opened = "services.procurator.cache.openFirewall = true; services.procurator.control-plane.openFirewall = true;"
    wanted = "config.networking.firewall.allowedTCPPorts"
    assert await a_machine(tmp_path, lib, MACHINES + SERVICES, wanted=wanted) == []
    assert sorted(await a_machine(tmp_path, lib, MACHINES + SERVICES + opened, wanted=wanted)) == [7400, 7401, 7404]


async def test_nothing_is_set_before_a_service_is_enabled(tmp_path: Path, lib: Path) -> None:
    found = await a_machine(
        tmp_path,
        lib,
        "",
        wanted="[ config.systemd.services config.users.users config.environment failed config.networking.firewall ]",
    )
    firewall = {"allowedTCPPorts": [], "enable": True, "extraCommands": "", "extraInputRules": ""}
    assert found == [{}, {}, {"etc": {}, "systemPackages": []}, [], firewall]


@pytest.mark.parametrize("nftables", [True, False])
async def test_vms_reach_the_hosts_names_and_leases_only(tmp_path: Path, lib: Path, nftables: bool) -> None:
    firewall = await a_machine(
        tmp_path,
        lib,
        f"{MACHINES} {WORKER} networking.nftables.enable = {json.dumps(nftables)};",
        wanted="config.networking.firewall",
    )
    rules, commands = firewall["extraInputRules"].strip(), firewall["extraCommands"].strip().splitlines()
    if nftables:
        assert (commands, rules) == ([], 'iifname "pzwe3yx*" meta l4proto { tcp, udp } th dport { 53, 67 } accept')
    else:
        assert rules == ""
        assert commands == [
            f"iptables -A nixos-fw -i pzwe3yx+ -p {protocol} -m multiport --dports 53,67 -j nixos-fw-accept"
            for protocol in ("tcp", "udp")
        ]


async def test_the_stand_in_and_nixpkgs_come_to_the_same(tmp_path: Path, nixpkgs_lib: Path) -> None:
    expression = f"""[
      (builtins.removeAttrs
        (machine [ modules.default {{ {MACHINES} {WORKER} {SERVICES} }} ]).config [ "assertions" "cluster" ])
      (builtins.removeAttrs (machine [ modules.guest {{
        procurator.guest.volumes.data.mount = "/d";
      }} ]).config [ "assertions" ])
    ]"""
    assert await evaluate(tmp_path, STAND_IN_LIB, expression) == await evaluate(tmp_path, nixpkgs_lib, expression)
