"""`cluster.nix`: a cluster as options of nixpkgs' module system, and as `mkCluster` takes it, are the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from nix.tests.modules import evaluate
from nix.tests.test_library import RIGHT, WRONG_TOGETHER, a_cluster, vm
from schema.errors import CommandFailed


def as_options(cluster: dict[str, Any]) -> dict[str, Any]:
    return {"name": cluster["cluster"], **{key: value for key, value in cluster.items() if key != "cluster"}}


async def test_options_render_to_the_blueprint_that_mkcluster_makes(tmp_path: Path, lib: Path) -> None:
    (tmp_path / "written.json").write_text(json.dumps(RIGHT))
    (tmp_path / "options.json").write_text(json.dumps([as_options(cluster) for cluster in RIGHT]))
    by_functions, by_options, in_a_machine = await evaluate(
        tmp_path,
        lib,
        """[
          (map (one: (library.mkCluster one).blueprint) (jsonOf "written"))
          (map
            (one: (library.evalCluster { inherit lib; modules = [ { cluster = one; } ]; }).blueprintJSON)
            (jsonOf "options"))
          (map (one: (machine [ modules.cluster { cluster = one; } ]).config.cluster.blueprint) (jsonOf "options"))
        ]""",
    )
    assert by_options == by_functions
    assert in_a_machine == by_functions


async def test_a_cluster_may_be_written_in_several_files(tmp_path: Path, lib: Path) -> None:
    blueprint = await evaluate(
        tmp_path,
        lib,
        """(library.evalCluster {
          inherit lib;
          modules = [
            { cluster.name = "shop"; cluster.vms.web = { cpu = 1; memoryMb = 64; system = "a"; }; }
            ({ lib, ... }: { cluster.vms.web.env.A = "1"; cluster.vms.web.replicas = lib.mkDefault 4; })
            ({ config, lib, ... }: {
              cluster.vms.web.env.B = config.cluster.name;
              cluster.vms.db = lib.mkIf (config.cluster.name == "shop") { cpu = 1; memoryMb = 64; system = "b"; };
            })
          ];
        }).blueprint""",
    )
    assert blueprint["vms"]["web"] == {
        **{"cpu": 1, "memoryMb": 64, "system": "a", "replicas": 4},
        "env": {"A": "1", "B": "shop"},
    }
    assert set(blueprint["vms"]) == {"web", "db"}


async def test_what_does_not_hold_between_options_is_told_as_mkcluster_tells_it(tmp_path: Path, lib: Path) -> None:
    (tmp_path / "options.json").write_text(json.dumps([as_options(cluster) for cluster, _ in WRONG_TOGETHER]))
    found = await evaluate(
        tmp_path, lib, 'map (one: (machine [ modules.cluster { cluster = one; } ]).failed) (jsonOf "options")'
    )
    assert found == [[f"cluster.{message}"] for _, message in WRONG_TOGETHER]


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (a_cluster(web=vm(cpu="2")), ["cluster.vms.web.cpu", "a whole number from 1 to 255", '"2"']),
        (a_cluster(web=vm(memoryMb=16)), ["cluster.vms.web.memoryMb", "a whole number of MiB from 32", "16"]),
        (a_cluster(web=vm(labels=[])), ["cluster.vms.web.labels"]),
        (a_cluster(web=vm(cpus=1)), ["cluster.vms.web.cpus", "does not exist"]),
        (a_cluster(web={"cpu": 1, "system": "a"}), ["cluster.vms.web.memoryMb", "defined"]),
        (
            a_cluster(web=vm(network={"egress": {"mode": "closed"}})),
            ["cluster.vms.web.network.egress.mode", "one of isolated, allow, open", '"closed"'],
        ),
    ],
)
async def test_a_wrong_form_names_option_type_and_value(
    tmp_path: Path, lib: Path, cluster: dict[str, Any], words: list[str]
) -> None:
    (tmp_path / "options.json").write_text(json.dumps(as_options(cluster)))
    with pytest.raises(CommandFailed) as caught:
        await evaluate(
            tmp_path, lib, '(machine [ modules.cluster { cluster = jsonOf "options"; } ]).config.cluster.blueprint'
        )
    text = caught.value.stderr.decode()
    assert [word for word in words if word not in text] == [], text


async def test_a_cluster_without_a_name_is_told_so(tmp_path: Path, lib: Path) -> None:
    with pytest.raises(CommandFailed, match=r"cluster\.name: is missing"):
        await evaluate(
            tmp_path,
            lib,
            """(library.evalCluster {
              inherit lib;
              modules = [ { cluster.vms.a = { cpu = 1; memoryMb = 64; system = "a"; }; } ];
            }).blueprint""",
        )
