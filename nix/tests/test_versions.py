"""The example comes to the same store paths in every nix: this machine's, and two newer ones (`other_nix.py`)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nix import argv as argvs
from nix.environment import NixEnvironment
from nix.example import prepare_clone
from nix.result import parse_instantiated, parse_version
from nix.run import run
from nix.tests.places import EXAMPLE, other_nixes, parts

VMS = ("batch", "db", "web")


@pytest.fixture
async def others() -> list[Path]:
    return await other_nixes()


async def test_the_same_blueprint_and_store_paths_in_every_version(tmp_path: Path, others: list[Path]) -> None:
    nix = NixEnvironment(tmp_path / "nix").write()
    flake = await (await prepare_clone(EXAMPLE, tmp_path / "clone", await parts(), nix=nix)).flake()

    async def made_by(directory: Path | None) -> tuple[Any, ...]:
        own = NixEnvironment(tmp_path / f"nix-{directory.parent.name if directory else 'ours'}").write()
        path = os.environ["PATH"] if directory is None else f"{directory}:{os.environ['PATH']}"

        async def printed(argv: tuple[str, ...]) -> bytes:
            return (await run(argv, deadline=120, env={**own.env, "PATH": path})).stdout

        systems = [f"nixosConfigurations.{vm}.config.system.build.toplevel" for vm in VMS]
        made = [parse_instantiated(await printed(argvs.instantiate(flake, system))) for system in systems]
        blueprint = json.loads(await printed(argvs.eval_json(flake, "blueprintJSON")))
        return parse_version(await printed(argvs.nix_version())), blueprint, made

    (version, blueprint, systems), *rest = [await made_by(directory) for directory in (None, *others)]
    assert len({version, *(other for other, _, _ in rest)}) == 1 + len(others), "each is another version"
    for _, other_blueprint, other_systems in rest:
        assert other_blueprint == blueprint
        assert other_systems == systems
