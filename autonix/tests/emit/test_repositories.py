"""From files to an evaluated flake: every labelled repository is scanned, and the real nix takes what comes out."""

from pathlib import Path

from autonix.scan import analyse
from autonix.tests.archive import repositories
from autonix.tests.emit.flakes import evaluated
from schema.blueprint import Blueprint


async def test_every_labelled_repository_becomes_a_flake_that_evaluates(tmp_path: Path) -> None:
    analyses = {}
    for repository in repositories():
        if "flake.nix" in repository.files:
            continue  # `pcr init` keeps a flake that is there
        analyses[repository.name] = await analyse(repository.write(tmp_path / "flakes" / repository.name))
    found = await evaluated(tmp_path, analyses)
    assert set(found) == set(analyses)
    for each in found.values():
        assert set(Blueprint.model_validate(each.blueprint).vms) == set(each.systems)
