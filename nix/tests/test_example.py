"""The reference cluster: its golden blueprint, its variants, and that it builds the same with no network."""

import json
from pathlib import Path

import pytest

from nix import commands
from nix.environment import NixEnvironment
from nix.example import LIBRARY, VARIANTS, Clone, main, make_clone, prepare_clone
from nix.jail import Jail
from nix.run import run
from nix.tests.places import EXAMPLE, parts
from schema.blueprint import Blueprint, EgressMode
from schema.errors import CommandFailed, Conflict

SYSTEM = "x86_64-linux"
WEB = "nixosConfigurations.web.config.system.build.toplevel"


async def a_clone(tmp_path: Path, *, variant: str = "healthy") -> Clone:
    nix = NixEnvironment(tmp_path / "nix").write()
    clone = await prepare_clone(EXAMPLE, tmp_path / "clone", await parts(), nix=nix)
    if variant != "healthy":
        clone.set_variant(variant)
        await clone.commit(f"The {variant} variant")
    return clone


async def a_jail() -> Jail:
    return Jail(allowed_paths=(await parts(), LIBRARY))


async def blueprint_of(clone: Clone) -> object:
    return await commands.eval_json(clone.nix, await clone.flake(), "blueprintJSON", jail=await a_jail(), deadline=120)


async def system_of(clone: Clone, vm: str) -> str:
    attribute = f"nixosConfigurations.{vm}.config.system.build.toplevel"
    return (await commands.build(clone.nix, await clone.flake(), attribute, jail=await a_jail(), deadline=60)).out


async def test_the_blueprint_is_the_golden_one(tmp_path: Path) -> None:
    blueprint = await blueprint_of(await a_clone(tmp_path))
    assert blueprint == json.loads((EXAMPLE / "blueprint.json").read_text())


def test_the_golden_blueprint_is_a_blueprint() -> None:
    blueprint = Blueprint.model_validate_json((EXAMPLE / "blueprint.json").read_bytes())
    assert {name: vm.replicas for name, vm in blueprint.vms.items()} == {"batch": 1, "db": 1, "web": 2}
    assert list(blueprint.vms["db"].volumes) == ["data"]
    batch = blueprint.vms["batch"].network
    assert (batch.egress.mode, batch.connect) == (EgressMode.ISOLATED, ())
    assert blueprint.vms["db"].health.checks[0].type == "tcp"


async def test_every_system_builds_without_network_and_carries_no_parts(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path)
    for vm in ("batch", "db", "web"):
        system = Path(await system_of(clone, vm))
        for file in ("kernel", "initrd", "init", "activate", "bin/switch-to-configuration", "etc", "sw"):
            assert (system / file).exists(), file
        assert (system / "kernel-params").read_text().startswith("console=ttyS0")
        spec = json.loads((system / "boot.json").read_text())["org.nixos.bootspec.v1"]
        assert spec["init"] == f"{system}/init"
        assert spec["kernelParams"] == (system / "kernel-params").read_text().split()
        closure = await commands.path_info(clone.nix, [str(system)], deadline=120)
        assert not [path for path in closure if "source" in path]
        assert sum(info.nar_size for info in closure.values() if info) < 25_000_000


async def test_two_clones_build_the_same_and_bit_by_bit(tmp_path: Path) -> None:
    one, two = await a_clone(tmp_path / "one"), await a_clone(tmp_path / "two")
    assert await system_of(one, "web") == await system_of(two, "web")
    flake, jail = await one.flake(), await a_jail()
    web = await commands.instantiate(one.nix, flake, WEB, jail=jail, deadline=120)
    again = await run(("nix-store", "--query", "--requisites", web.drv), deadline=120, env=one.nix.env)
    ours = [path for path in again.stdout.decode().split() if path.endswith(("guest-initrd.drv", "guest-kernel.drv"))]
    assert len(ours) == 2
    await run(("nix-store", "--realise", "--check", *ours, web.drv), deadline=60, env=one.nix.env)


async def test_a_new_text_changes_the_web_vms_only(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path)
    before = {vm: await system_of(clone, vm) for vm in ("batch", "db", "web")}
    clone.set_text("another text")
    await clone.commit("Another text")
    after = {vm: await system_of(clone, vm) for vm in before}
    assert [vm for vm in before if before[vm] != after[vm]] == ["web"]


async def test_its_check_passes(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path)
    flake, jail = await clone.flake(), await a_jail()
    assert await commands.check_names(clone.nix, flake, SYSTEM, jail=jail, deadline=120) == ("page",)
    await commands.build(clone.nix, flake, f"checks.{SYSTEM}.page", jail=jail, deadline=120)


async def test_failing_evaluation_fails_to_evaluate(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="this variant of the example does not evaluate"):
        await blueprint_of(await a_clone(tmp_path, variant="failing-evaluation"))


async def test_failing_build_evaluates_and_fails_to_build(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path, variant="failing-build")
    await blueprint_of(clone)
    with pytest.raises(commands.BuildFailed, match="the renderer is out of ink") as caught:
        await system_of(clone, "web")
    assert caught.value.drvs[0].endswith("-site.drv")
    await system_of(clone, "db")


async def test_failing_check_fails_its_check_and_nothing_else(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path, variant="failing-check")
    with pytest.raises(commands.BuildFailed, match="the page lacks: a text that the page does not have"):
        await commands.build(clone.nix, await clone.flake(), f"checks.{SYSTEM}.page", jail=await a_jail(), deadline=120)
    await system_of(clone, "web")


@pytest.mark.parametrize("variant", ["unhealthy", "ignores-power-button"])
async def test_variants_that_differ_at_run_time_build(tmp_path: Path, variant: str) -> None:
    assert variant in VARIANTS
    clone = await a_clone(tmp_path, variant=variant)
    Blueprint.model_validate(await blueprint_of(clone))
    system = Path(await system_of(clone, "web"))
    assert (system / "etc/acpi/PWRF").exists() == (variant != "ignores-power-button")


async def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such variant"):
        (await a_clone(tmp_path)).set_variant("broken")


async def test_a_typing_error_in_the_variant_does_not_evaluate_and_names_what_there_is(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path)
    (clone.path / "variant.nix").write_text('"unhealty"\n')
    await clone.commit("A typing error")
    with pytest.raises(CommandFailed, match=f'says "unhealty", and there are {", ".join(VARIANTS)}'):
        await blueprint_of(clone)


async def test_a_clone_made_by_hand_is_committed_and_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "clone"
    await make_clone(await parts(), target)
    clone = Clone(target, NixEnvironment(tmp_path / "nix").write())
    assert await clone.git("status", "--porcelain") == ""
    assert await clone.git("config", "user.name")
    Blueprint.model_validate(await blueprint_of(clone))
    with pytest.raises(Conflict, match="is there already"):
        await make_clone(await parts(), target)


def test_its_command_line_refuses_what_it_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["parts", "--force"]) == 2
    assert main([str(tmp_path), str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
