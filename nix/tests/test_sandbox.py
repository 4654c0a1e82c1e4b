"""What a build can reach, tried with real nix; each refusal has its counterpart without the sandbox."""

from pathlib import Path

import pytest

from nix import commands
from nix.environment import NixEnvironment
from nix.isolation import probe_isolation
from nix.result import Derivation
from nix.tests.flakes import a_flake, with_builder
from nix.tests.places import parts
from nix.tests.test_jail import a_listener
from schema.errors import DeadlineExceeded
from schema.tests.processes import until_none_names

FIXED = '{ outputHash = "0000000000000000000000000000000000000000000000000000"; outputHashAlgo = "sha256"; }'


async def built(
    tmp_path: Path, script: str, *, sandbox: bool, network: bool = False, attributes: str = "{ }"
) -> Derivation:
    number = len(list(tmp_path.glob("run-*")))
    nix = NixEnvironment(tmp_path / f"run-{number}", sandbox=sandbox).write()
    # A comment of its own makes it another derivation each time, so that nothing is remembered.
    text = with_builder(await parts(), f"# {tmp_path} {number}\n{script}", attributes)
    flake = await a_flake(tmp_path / f"flake-{number}", nix, text)
    return await commands.build(nix, flake, "x", jail=None, deadline=120, network=network)


async def test_a_key_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    script = f'cat {tmp_path}/key >"$out"'
    with pytest.raises(commands.BuildFailed, match="No such file"):
        await built(tmp_path, script, sandbox=True)
    assert Path((await built(tmp_path, script, sandbox=False)).out).read_text() == "secret"


async def test_a_build_does_not_change_what_others_build_from(tmp_path: Path) -> None:
    script = 'chmod u+w "$victim" "$victim/file" || true; echo evil >"$victim/file" || true; cat "$victim/file" >"$out"'
    attributes = '{ victim = builtins.toString (derivation { name = "victim"; system = "x86_64-linux"; '
    attributes += 'builder = "${parts}/bin/busybox"; args = [ "sh" "-c" "PATH=${parts}/bin; mkdir $out; '
    attributes += f'echo good {tmp_path} >$out/file" ]; }}); }}'
    output = await built(tmp_path, script, sandbox=True, attributes=attributes)
    assert Path(output.out).read_text() == f"good {tmp_path}\n"


async def test_a_socket_of_ours_is_not_seen(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        script = f'test -S {tmp_path}/s && touch "$out"'
        with pytest.raises(commands.BuildFailed):
            await built(tmp_path, script, sandbox=True)
        await built(tmp_path, script, sandbox=False)


async def test_loopback_is_not_reached_not_even_by_a_fixed_output_derivation(tmp_path: Path) -> None:
    async with a_listener() as (port, heard):
        script = f'echo from-a-build | nc 127.0.0.1 {port} || true; touch "$out"'
        await built(tmp_path, script, sandbox=True)
        with pytest.raises(commands.BuildFailed, match="hash mismatch"):
            await built(tmp_path, script, sandbox=True, attributes=FIXED)
        assert heard == []
        with pytest.raises(commands.BuildFailed, match="hash mismatch"):
            await built(tmp_path, script, sandbox=True, attributes=FIXED, network=True)
        assert heard == [b"from-a-build\n"]


async def test_a_failed_build_names_its_derivation_and_keeps_its_log(tmp_path: Path) -> None:
    with pytest.raises(commands.BuildFailed) as caught:
        await built(tmp_path, "echo out of ink; exit 3", sandbox=True)
    nix = NixEnvironment(tmp_path / "run-0")
    assert caught.value.drvs[0].endswith("-x.drv")
    assert "out of ink" in str(caught.value)
    assert "@nix" not in str(caught.value)
    assert "out of ink" in await commands.build_log(nix, caught.value.drvs[0])


async def test_a_deadline_leaves_no_builder_behind(tmp_path: Path) -> None:
    nix = NixEnvironment(tmp_path / "nix").write()
    text = with_builder(await parts(), f"# {tmp_path}\nsleep 98765")
    flake = await a_flake(tmp_path / "flake", nix, text)
    drv = await commands.instantiate(nix, flake, "x", jail=None, deadline=120)
    with pytest.raises(DeadlineExceeded):
        await commands.realise(nix, [drv.drv], deadline=2)
    await until_none_names("98765")


async def test_this_machine_can_isolate_both(tmp_path: Path) -> None:
    found = await probe_isolation(NixEnvironment(tmp_path / "nix").write())
    assert (found.complete, found.reason) == (True, "")


async def test_a_build_without_sandbox_is_found_out(tmp_path: Path) -> None:
    found = await probe_isolation(NixEnvironment(tmp_path / "nix", sandbox=False).write())
    assert (found.evaluation, found.build) == (True, False)
    assert found.reason == "builds cannot be isolated: what runs there sees the host's files"
