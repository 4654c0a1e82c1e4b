"""From files to an evaluated flake: every labelled repository is scanned, and the real nix takes what comes out."""

from pathlib import Path

from autonix.emit.files import generated
from autonix.scan import analyse
from autonix.tests.archive import held_out, repositories, repository
from autonix.tests.emit.flakes import evaluated
from schema.blueprint import Blueprint


async def test_every_labelled_repository_becomes_a_flake_that_evaluates(tmp_path: Path) -> None:
    analyses = {}
    for each in (*repositories(), *held_out()):
        if "flake.nix" in each.files:
            continue  # `pcr init` keeps a flake that is there
        analyses[each.name] = await analyse(each.write(tmp_path / "flakes" / each.name))
    found = await evaluated(tmp_path, analyses)
    assert set(found) == set(analyses)
    for flake in found.values():
        assert set(Blueprint.model_validate(flake.blueprint).vms) == set(flake.systems)


async def test_a_member_of_a_workspace_is_built_from_the_whole_workspace(tmp_path: Path) -> None:
    pnpm = generated(await analyse(repository("javascript-pnpm-workspace").write(tmp_path / "pnpm"))).flake
    assert "src = ./apps" not in pnpm
    assert 'api-test = checked packages.api [ ] "cd ./apps/api && pnpm run test";' in pnpm
    rust = generated(await analyse(repository("rust-workspace").write(tmp_path / "rust"))).flake
    assert "src = ./crates" not in rust
    assert 'buildAndTestSubdir = "crates/server";' in rust
