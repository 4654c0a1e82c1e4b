"""The configuration that nix gets, and that real nix takes it."""

from pathlib import Path

from nix.commands import nix_version
from nix.environment import NixEnvironment
from nix.run import run


def settings_of(nix: NixEnvironment) -> dict[str, str]:
    lines = (nix.conf_dir / "nix.conf").read_text().splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def test_the_configuration_is_written_whole_and_again_without_harm(tmp_path: Path) -> None:
    nix = NixEnvironment(tmp_path / "nix", settings={"max-jobs": "2", "download-attempts": "1"}).write()
    settings = settings_of(nix.write())
    assert settings["sandbox"] == "true"
    assert settings["sandbox-fallback"] == "false"
    assert settings["require-sigs"] == "true"
    assert (settings["substituters"], settings["trusted-public-keys"]) == ("", "")
    assert (settings["max-jobs"], settings["download-attempts"]) == ("2", "1")
    assert settings_of(NixEnvironment(tmp_path / "nix", sandbox=False).write())["sandbox"] == "false"


def test_only_its_owner_reaches_what_it_keeps(tmp_path: Path) -> None:
    nix = NixEnvironment(tmp_path / "nix").write()
    for directory in (nix.state, nix.conf_dir, nix.cache_dir, nix.home):
        assert directory.stat().st_mode & 0o777 == 0o700


async def test_nix_takes_every_setting(tmp_path: Path) -> None:
    nix = NixEnvironment(tmp_path / "nix").write()
    done = await run(("nix", "show-config"), deadline=120, env=nix.env)
    shown = dict(line.split(" = ", 1) for line in done.stdout.decode().splitlines() if " = " in line)
    assert shown["allow-import-from-derivation"] == "false"
    assert b"unknown setting" not in done.stderr
    assert await nix_version(nix) >= (2, 8, 0)
