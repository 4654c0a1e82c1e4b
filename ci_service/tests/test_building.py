"""CI's nix side on the real example with the real nix: jail, sandbox, signatures."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ci_service.building import Workshop, WorkshopDeadlines, system_of
from ci_service.git import Commit, ref_of_run
from ci_service.logs import BuildLog
from ci_service.resolve import vm_specs
from ci_service.runner import explained
from nix.environment import NixEnvironment
from nix.example import LIBRARY, Clone, prepare_clone
from nix.jail import Jail
from nix.parts import make_parts
from schema.errors import CommandFailed, InvalidInput

EXAMPLE = Path(__file__).parents[2] / "example"


@pytest.fixture(scope="session")
def cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "procurator"


@pytest.fixture
async def parts(cache_directory: Path) -> Path:
    return await make_parts(cache_directory)


@pytest.fixture
async def clone(tmp_path: Path, parts: Path) -> AsyncIterator[Clone]:
    yield await prepare_clone(EXAMPLE, tmp_path / "clone", parts, nix=NixEnvironment(tmp_path / "nix").write())


def a_workshop(directory: Path, parts: Path) -> Workshop:
    state = directory / "ci"
    state.mkdir()
    return Workshop(
        state=state,
        jail=Jail((parts, LIBRARY)),
        sandbox=True,
        cache_url="http://127.0.0.1:9",
        upload_token_file=directory / "token",
        signing_key_file=directory / "key",
        deadlines=WorkshopDeadlines(evaluate=240, build=240, push=60),
    )


async def pushed(clone: Clone, directory: Path, *, variant: str = "healthy") -> Commit:
    clone.set_variant(variant)
    await clone.git("add", "--all")
    await clone.git("commit", "--quiet", "--allow-empty", "--message", variant)
    bare, head, ref = directory / "demo/example.git", await clone.head(), ref_of_run(1)
    await clone.git("init", "--quiet", "--bare", str(bare))
    await clone.git("push", "--quiet", str(bare), f"HEAD:{ref}")
    return Commit(bare, ref, head, "", "")


async def test_a_commit_becomes_vm_specs(clone: Clone, parts: Path, tmp_path: Path) -> None:
    workshop, log = a_workshop(tmp_path, parts), BuildLog(tmp_path / "log")
    commit = await pushed(clone, tmp_path)
    blueprint = await workshop.evaluate(commit, log)
    assert set(blueprint.vms) == {"web", "db", "batch"}
    assert set(await workshop.check_derivations(commit, log)) == {"page"}
    systems = {
        vm: system_of(await workshop.realise(commit, drv, log, keep_as=f"system-{vm}"))
        for vm, drv in (await workshop.system_derivations(commit, blueprint, log)).items()
    }
    specs = {spec.value.name: spec.value for spec in vm_specs(blueprint, systems)}
    assert specs["web"].cmdline.endswith(f"init={specs['web'].toplevel}/init")
    assert Path(specs["db"].kernel).is_file()
    assert (workshop.state / "roots/1/system-web").is_symlink()


async def test_a_clone_that_a_killed_nix_left_half_made_does_not_fail_what_comes_after(
    clone: Clone, parts: Path, tmp_path: Path
) -> None:
    workshop, log = a_workshop(tmp_path, parts), BuildLog(tmp_path / "log")
    first = await workshop.evaluate(await pushed(clone, tmp_path), log)
    for left in ("HEAD", "objects"):
        (made,) = (path for path in workshop.nix_for("demo/example").cache_dir.glob("nix/gitv3/*") if path.is_dir())
        shutil.rmtree(made)
        (made / left).mkdir(parents=True)
        assert await workshop.evaluate(await pushed(clone, tmp_path), log) == first


async def test_a_flake_may_be_in_a_directory_of_its_repository(clone: Clone, parts: Path, tmp_path: Path) -> None:
    await clone.git("mv", "-k", *await tracked(clone), "deploy")
    clone.path.joinpath("flake.nix").write_text("throw ''this is not the flake that the realm tracks''")
    await clone.git("add", "--all")
    await clone.git("commit", "--quiet", "--message", "moved")
    bare, head, ref = tmp_path / "demo/example.git", await clone.head(), ref_of_run(1)
    await clone.git("init", "--quiet", "--bare", str(bare))
    await clone.git("push", "--quiet", str(bare), f"HEAD:{ref}")
    workshop, log = a_workshop(tmp_path, parts), BuildLog(tmp_path / "log")
    blueprint = await workshop.evaluate(Commit(bare, ref, head, "", "", "deploy"), log)
    assert set(blueprint.vms) == {"web", "db", "batch"}


async def tracked(clone: Clone) -> list[str]:
    """The top level of the clone, with a directory to move it to."""
    (clone.path / "deploy").mkdir()
    return sorted({name.partition("/")[0] for name in (await clone.git("ls-files")).splitlines()})


async def test_a_flake_that_does_not_evaluate_tells_its_author_why(clone: Clone, parts: Path, tmp_path: Path) -> None:
    commit = await pushed(clone, tmp_path, variant="failing-evaluation")
    with pytest.raises(CommandFailed) as caught:
        await a_workshop(tmp_path, parts).evaluate(commit, BuildLog(tmp_path / "log"))
    assert explained(caught.value) == "this variant of the example does not evaluate"


async def test_a_build_that_fails_leaves_its_last_lines_in_the_log(clone: Clone, parts: Path, tmp_path: Path) -> None:
    workshop, log = a_workshop(tmp_path, parts), BuildLog(tmp_path / "log")
    commit = await pushed(clone, tmp_path, variant="failing-build")
    blueprint = await workshop.evaluate(commit, log)
    derivations = await workshop.system_derivations(commit, blueprint, log)
    with pytest.raises(CommandFailed):
        await workshop.realise(commit, derivations["web"], log, keep_as="web")
    assert any("failed" in line for line in log.tail)


async def test_an_evaluation_sees_no_file_that_it_was_not_given(clone: Clone, parts: Path, tmp_path: Path) -> None:
    secret = tmp_path / "ci/keys"
    workshop = a_workshop(tmp_path, parts)
    secret.mkdir()
    (secret / "ci").write_text("ci-1:secret")
    flake = clone.path / "flake.nix"
    flake.write_text(flake.read_text().replace(str(parts), str(secret)))
    (clone.path / "flake.lock").unlink()
    commit = await pushed(clone, tmp_path)
    with pytest.raises(CommandFailed) as caught:
        await workshop.evaluate(commit, BuildLog(tmp_path / "log"))
    assert "ci-1:secret" not in caught.value.message


async def test_a_blueprint_of_another_shape_is_refused_by_field(clone: Clone, parts: Path, tmp_path: Path) -> None:
    flake = clone.path / "flake.nix"
    flake.write_text(
        flake.read_text()
        .replace("blueprintJSON\n", "")
        .replace("checks.${system} =", "blueprintJSON = { vms = 1; }; checks.${system} =")
    )
    commit = await pushed(clone, tmp_path)
    with pytest.raises(InvalidInput, match=r"blueprintJSON: .*cluster: Field required"):
        await a_workshop(tmp_path, parts).evaluate(commit, BuildLog(tmp_path / "log"))


def test_what_is_not_a_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="it has no 'kernel'"):
        system_of(str(tmp_path))


async def test_the_upload_token_goes_by_a_file_of_our_own_only(parts: Path, tmp_path: Path) -> None:
    workshop = a_workshop(tmp_path, parts)
    workshop.upload_token_file.write_text("upload-secret\n")
    netrc = workshop._write_netrc()
    assert netrc.read_text() == "machine 127.0.0.1 login ci password upload-secret\n"
    assert netrc.stat().st_mode & 0o777 == 0o600
