"""What mkCluster says about clusters that are not right, sentence by sentence, and what it makes of right ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from nix.environment import NixEnvironment
from nix.example import LIBRARY
from nix.run import run
from schema.blueprint import Blueprint
from schema.errors import CommandFailed

WEB = "nixosConfigurations.web.config.system.build.toplevel"


def vm(**options: Any) -> dict[str, Any]:
    return {"cpu": 1, "memoryMb": 64, "system": WEB, **options}


def a_cluster(**vms: dict[str, Any]) -> dict[str, Any]:
    return {"cluster": "c", "vms": vms}


async def evaluate(tmp_path: Path, expression: str) -> Any:
    nix = NixEnvironment(tmp_path / "nix").write()
    argv = ("nix-instantiate", "--eval", "--json", "--strict", "--expr", expression)
    return json.loads((await run(argv, deadline=120, env=nix.env)).stdout)


async def problems(tmp_path: Path, *clusters: dict[str, Any]) -> list[list[str]]:
    cases = tmp_path / "clusters.json"
    cases.write_text(json.dumps(clusters))
    found: list[list[str]] = await evaluate(
        tmp_path, f"map (import {LIBRARY}/problems.nix) (builtins.fromJSON (builtins.readFile {cases}))"
    )
    return found


DB = vm(network={"ports": [{"name": "db", "port": 5432}]})

WRONG_FORMS: list[tuple[dict[str, Any], str]] = [
    ({"cluster": "c"}, "vms: is missing"),
    ({**a_cluster(), "Cluster": 1}, "Cluster: there is no such option (there are: cluster, machines, rollout, vms)"),
    ({"cluster": "C!", "vms": {}}, 'cluster: "C!" is not a DNS label (a-z, 0-9 and inner -, at most 63)'),
    (a_cluster(Web=vm()), 'vms: the name: "Web" is not a DNS label (a-z, 0-9 and inner -, at most 63)'),
    (a_cluster(web=vm(cpu=0)), "vms.web.cpu: 0 is not a whole number from 1 to 255"),
    (a_cluster(web=vm(cpu="2")), 'vms.web.cpu: "2" is not a whole number from 1 to 255'),
    (a_cluster(web=vm(memoryMb=16)), "vms.web.memoryMb: 16 is not a whole number of MiB from 32 to 67108864"),
    (a_cluster(web=vm(replicas=-1)), "vms.web.replicas: -1 is not a whole number from 0 to 10000"),
    (
        a_cluster(web=vm(network={"egress": {"mode": "closed"}})),
        'vms.web.network.egress.mode: "closed" is not one of isolated, allow, open',
    ),
    (
        a_cluster(web=vm(network={"connect": ["db"]})),
        'vms.web.network.connect[0]: "db" is not a VM and a port (db:5432)',
    ),
    (a_cluster(web=vm(env={"A-B": "x"})), 'vms.web.env: the name: "A-B" is not the name of an environment variable'),
    (a_cluster(web=vm(env={"A": 1})), "vms.web.env.A: 1 is not a string"),
    (a_cluster(web=vm(singleton="yes")), 'vms.web.singleton: "yes" is not true or false'),
    (a_cluster(web=vm(dependsOn="db")), 'vms.web.dependsOn: "db" is not a list'),
    (a_cluster(web=vm(labels=[])), "vms.web.labels: [ ] is not a set"),
    (
        a_cluster(web=vm(health={"intervalMs": 5})),
        "vms.web.health.intervalMs: 5 is not a whole number of milliseconds from 100 to 3600000",
    ),
    (
        a_cluster(web=vm(volumes={"data": {"sizeMb": 1}})),
        "vms.web.volumes.data.mount: is missing",
    ),
]
WRONG_TOGETHER: list[tuple[dict[str, Any], str]] = [
    (
        a_cluster(web={"cpu": 1, "memoryMb": 64}),
        "vms.web: needs exactly one of guest, configuration and system, and has none",
    ),
    (
        a_cluster(web=vm(guest={})),
        "vms.web: needs exactly one of guest, configuration and system, and has guest, system",
    ),
    (
        a_cluster(web=vm(network={"connect": ["dbx:5432"]}), db=DB),
        'vms.web.network.connect[0]: "dbx:5432" names the VM dbx, which does not exist (the cluster has db, web)',
    ),
    (
        a_cluster(web=vm(network={"connect": ["db:99999"]}), db=vm()),
        'vms.web.network.connect[0]: "db:99999" has a port that is not from 1 to 65535',
    ),
    (
        a_cluster(web=vm(network={"connect": ["db:80"]}), db=DB),
        'vms.web.network.connect[0]: "db:80" is a port that db does not offer (vms.db.network.ports: 5432)',
    ),
    (
        a_cluster(web=vm(network={"connect": ["db:80"]}), db=vm(network={"nic": False})),
        'vms.web.network.connect[0]: "db:80" cannot be reached, as db has nic = false',
    ),
    (
        a_cluster(web=vm(network={"nic": False, "egress": {"mode": "open"}})),
        "vms.web.network.egress.mode: is not possible with nic = false",
    ),
    (
        a_cluster(web=vm(network={"nic": False, "connect": ["db:5432"]}), db=DB),
        "vms.web.network.connect: is not possible with nic = false",
    ),
    (
        a_cluster(web=vm(network={"egress": {"domains": ["x.org"]}})),
        'vms.web.network.egress.domains: [ "x.org" ] needs mode "allow", not "isolated"',
    ),
    (
        a_cluster(db=vm(replicas=2, volumes={"data": {"sizeMb": 1, "mount": "/data"}})),
        "vms.db.replicas: 2 is not possible with volumes (data): a VM with volumes is always one",
    ),
    (a_cluster(db=vm(replicas=3, singleton=True)), "vms.db.replicas: 3 is not possible with singleton = true"),
    (
        a_cluster(db=vm(volumes={"a": {"sizeMb": 1, "mount": "/d"}, "b": {"sizeMb": 1, "mount": "/d"}})),
        'vms.db.volumes: two of them mount at "/d"',
    ),
    (
        a_cluster(db=vm(volumes={"a": {"sizeMb": 1, "mount": "/nix/store"}})),
        'vms.db.volumes.a.mount: "/nix/store" belongs to the system',
    ),
    (
        a_cluster(db=vm(volumes={"a": {"sizeMb": 1, "mount": "/var/../etc"}})),
        "vms.db.volumes.a.mount: \"/var/../etc\" has empty, '.' or '..' parts",
    ),
    (
        a_cluster(web=vm(dependsOn=["cache"])),
        'vms.web.dependsOn[0]: "cache" is no VM of the cluster (the cluster has web)',
    ),
    (a_cluster(web=vm(dependsOn=["web"])), 'vms.web.dependsOn[0]: "web" is the VM itself'),
    (
        a_cluster(a=vm(dependsOn=["b"]), b=vm(dependsOn=["c"]), c=vm(dependsOn=["a"]), d=vm(dependsOn=["a"])),
        "vms.a.dependsOn: a -> b -> c -> a goes round in a circle, so nothing could start first",
    ),
    (
        a_cluster(web=vm(placement={"antiAffinity": ["x"]})),
        'vms.web.placement.antiAffinity[0]: "x" is no VM of the cluster (the cluster has web)',
    ),
    (
        a_cluster(web=vm(placement={"affinity": ["web"], "antiAffinity": ["web"]})),
        'vms.web.placement.antiAffinity[0]: "web" is in affinity, too',
    ),
    (
        a_cluster(web=vm(health={"startDeadlineMs": 1500})),
        "vms.web.health.startDeadlineMs: 1500 is less than rollout.minHealthyMs (2000),"
        " so the VM could never get healthy",
    ),
    (
        a_cluster(db=vm(volumes={"a": {"sizeMb": 1, "mount": "/proc/x"}})),
        'vms.db.volumes.a.mount: "/proc/x" belongs to the system',
    ),
    (
        a_cluster(web=vm(placement={"require": [{"key": "zone"}]})),
        'vms.web.placement.require[0].values: operator "in" needs values',
    ),
    (
        a_cluster(web=vm(placement={"prefer": [{"key": "zone", "operator": "exists", "values": ["a"]}]})),
        'vms.web.placement.prefer[0].values: operator "exists" takes no values, and has [ "a" ]',
    ),
    (
        a_cluster(web=vm(health={"checks": [{"type": "tcp"}]})),
        "vms.web.health.checks[0].port: is missing, and a tcp check needs it",
    ),
    (
        a_cluster(web=vm(health={"checks": [{"type": "tcp", "port": 1, "path": "/x"}]})),
        'vms.web.health.checks[0].path: "/x" goes with type "http" only',
    ),
    (
        a_cluster(web=vm(health={"checks": [{"type": "command"}]})),
        "vms.web.health.checks[0].command: is missing, and a command check needs it",
    ),
    (
        a_cluster(web=vm(health={"checks": [{"type": "readiness", "command": ["true"]}]})),
        'vms.web.health.checks[0].command: [ "true" ] goes with type "command" only',
    ),
    (
        a_cluster(web=vm(network={"nic": False}, health={"checks": [{"type": "http", "port": 80}]})),
        "vms.web.health.checks[0]: a http check is not possible with nic = false",
    ),
    (
        a_cluster(web=vm(network={"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]})),
        "vms.web.network.ports: the name a is there twice",
    ),
    (
        a_cluster(web=vm(network={"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]})),
        "vms.web.network.ports: the port 1 is there twice",
    ),
    (
        a_cluster(
            a=vm(network={"ports": [{"name": "p", "port": 1, "publish": 80}]}),
            b=vm(network={"ports": [{"name": "p", "port": 1, "publish": 80}]}),
        ),
        "network.ports: publish = 80 is wanted by a and b",
    ),
    (a_cluster(**{"web": vm(), "web-0": vm()}), "vms.web-0: this is also the name of an instance of web"),
    ({**a_cluster(), "rollout": {"waves": [{}]}}, "rollout.waves[0]: needs either a selector or a percent"),
]


WRONG = [*WRONG_FORMS, *WRONG_TOGETHER]


async def test_each_mistake_is_told_by_vm_option_and_value(tmp_path: Path) -> None:
    found = await problems(tmp_path, *(cluster for cluster, _ in WRONG))
    assert found == [[message] for _, message in WRONG]


RIGHT: list[dict[str, Any]] = [
    a_cluster(),
    a_cluster(web=vm()),
    a_cluster(**{"web": vm(replicas=2), "web-2": vm(), "web-02": vm()}),
    a_cluster(web=vm(network={"connect": ["db:5432"]}), db=DB),
    a_cluster(web=vm(network={"connect": ["db:1"]}), db=vm()),
    a_cluster(a=vm(dependsOn=["b", "c"]), b=vm(dependsOn=["c"]), c=vm()),
    a_cluster(web=vm(network={"egress": {"mode": "allow", "domains": ["x.org", "*.y.org"]}})),
    {
        **a_cluster(
            db=vm(
                singleton=True,
                extras={"gpu": 1},
                labels={"tier": "data"},
                volumes={"data": {"sizeMb": 8, "mount": "/data", "onLoss": "recreate"}},
                placement={"require": [{"key": "zone", "values": ["a"]}], "spread": [{"over": "zone"}], "priority": 3},
                health={"checks": [{"type": "command", "command": ["true"]}, {"type": "readiness"}], "failures": 2},
                update={"strategy": "switch", "autoRollback": False},
            )
        ),
        "machines": {"m1": {"role": "worker", "address": "10.0.0.1", "port": 22}},
        "rollout": {"waves": [{"percent": 10, "gate": "approve"}, {"selector": {"a": "b"}}], "maxFailures": 1},
    },
]


async def test_right_clusters_have_no_problems_and_are_blueprints(tmp_path: Path) -> None:
    assert await problems(tmp_path, *RIGHT) == [[] for _ in RIGHT]
    for cluster in RIGHT:
        Blueprint.model_validate({**cluster, "schemaVersion": 1})


async def test_all_mistakes_are_told_at_once_and_stop_the_evaluation(tmp_path: Path) -> None:
    expression = (
        f'((import {LIBRARY} {{ }}).mkCluster {{ cluster = "c"; vms = {{ a = {{ cpu = 0; x = 1; }}; }}; }}).blueprint'
    )
    with pytest.raises(CommandFailed) as caught:
        await evaluate(tmp_path, expression)
    text = caught.value.stderr.decode()
    assert "the cluster is not right:" in text
    assert "- vms.a.cpu: 0 is not a whole number from 1 to 255" in text
    assert "- vms.a.x: there is no such option" in text
    assert "- vms.a.memoryMb: is missing" in text


async def test_a_cluster_of_foreign_systems_needs_no_parts(tmp_path: Path) -> None:
    expression = f"""
      ((import {LIBRARY} {{ }}).mkCluster {{
        cluster = "c";
        vms.a = {{ cpu = 1; memoryMb = 64; system = "packages.x86_64-linux.a"; }};
        vms.b = {{ cpu = 1; memoryMb = 64; configuration.config.system.build.toplevel = 3; }};
      }}).blueprint
    """
    blueprint = Blueprint.model_validate(await evaluate(tmp_path, expression))
    assert blueprint.vms["a"].system == "packages.x86_64-linux.a"
    assert blueprint.vms["b"].system == "nixosConfigurations.b.config.system.build.toplevel"


@pytest.mark.parametrize(
    ("guest", "message"),
    [
        ('{ servces.a = ""; }', "vms.a.guest.servces: there is no such option (there are: etc, kernelParams, power"),
        ('{ services."../x" = ""; }', 'vms.a.guest.services: the name: "../x" is not a file\'s name'),
        ("{ services = [ ]; }", "vms.a.guest.services: [ ] is not a set"),
        ("{ services.web = 3; }", "vms.a.guest.services.web: 3 is not a string"),
        ('{ etc."a//b" = ""; }', 'vms.a.guest.etc: the name: "a//b" is not a file\'s path below /etc'),
        ("{ etc.motd = [ ]; }", "vms.a.guest.etc.motd: [ ] is not a string"),
        ("{ powerButton = 1; }", "vms.a.guest.powerButton: 1 is not true or false"),
        ('{ kernelParams = [ "a b" ]; }', 'vms.a.guest.kernelParams[0]: "a b" is not a word of the kernel\'s command'),
        ("{ volumes = { }; }", "vms.a.guest.volumes: there is no such option"),
    ],
)
async def test_a_wrong_guest_is_told_by_vm_option_and_value(tmp_path: Path, guest: str, message: str) -> None:
    cluster = f'{{ cluster = "c"; vms.a = {{ cpu = 1; memoryMb = 64; guest = {guest}; }}; }}'
    with pytest.raises(CommandFailed) as caught:
        await evaluate(
            tmp_path, f"((import {LIBRARY} {{ parts = /p; }}).mkCluster {cluster}).nixosConfigurations.a.config.x"
        )
    assert message in caught.value.stderr.decode()


async def test_a_blueprint_looks_at_no_text_of_a_guest(tmp_path: Path) -> None:
    cluster = '{ cluster = "c"; vms.a = { cpu = 1; memoryMb = 64; guest.services.web = throw "looked at"; }; }'
    await evaluate(tmp_path, f"((import {LIBRARY} {{ }}).mkCluster {cluster}).blueprint")


async def test_ten_thousand_vms_are_the_most(tmp_path: Path) -> None:
    vms = """builtins.listToAttrs (builtins.genList (n: {
      name = "v${toString n}";
      value = { cpu = 1; memoryMb = 64; system = "a"; };
    }) 10001)"""
    expression = f'import {LIBRARY}/problems.nix {{ cluster = "c"; vms = {vms}; }}'
    assert await evaluate(tmp_path, expression) == ["vms: are 10001, and 10000 are the most"]
