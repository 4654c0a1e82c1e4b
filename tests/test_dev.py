"""`./dev`: what it lists, what it refuses, and what it says when it cannot install."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534


@pytest.fixture
def dev(tmp_path: Path) -> ModuleType:
    """The script as a module, in a tree of its own."""
    shutil.copy(ROOT / "dev", tmp_path / "dev")
    (tmp_path / "requirements.lock").write_text("a==1\n")
    (tmp_path / "pyproject.toml").write_text("[build-system]\n[project]\n")
    loader = SourceFileLoader(f"dev_of_{tmp_path.name}", str(tmp_path / "dev"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that others than root can read, which pytest's own are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def run(*arguments: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "./dev", *arguments],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_as_nobody(directory: Path, *arguments: str, path: str = "/nonexistent") -> subprocess.CompletedProcess[str]:
    """In a copy that others may read, by the machine's own python3."""
    shutil.copy(ROOT / "dev", directory / "dev")
    return subprocess.run(
        ["/usr/bin/python3", str(directory / "dev"), *arguments],
        cwd=directory,
        env={"PATH": path, "HOME": str(directory), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_every_verb(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 0
    for verb in ("up", "demo", "example", "test", "lint", "bench", "clean", "help"):
        assert f"\n  {verb} " in result.stdout


def test_an_unknown_verb_is_refused_with_the_list() -> None:
    result = run("tset")
    assert result.returncode == 2
    assert "no verb 'tset'" in result.stderr
    assert "test" in result.stderr


@pytest.mark.parametrize("verb", ["up", "demo", "example", "test", "lint", "bench", "clean"])
def test_help_of_a_verb_installs_and_removes_nothing(shared: Path, verb: str) -> None:
    result = run_as_nobody(shared, verb, "--help")
    assert result.returncode == 0
    assert f"usage: ./dev {verb}" in result.stdout
    assert [path.name for path in shared.iterdir()] == ["dev"]


@pytest.mark.parametrize("verb", ["demo", "lint", "clean"])
def test_a_wrong_option_is_refused_before_anything_is_done(shared: Path, verb: str) -> None:
    (shared / ".venv").mkdir()
    result = run_as_nobody(shared, verb, "--hlep")
    assert result.returncode == 2
    assert "does not know '--hlep'" in result.stderr
    assert (shared / ".venv").exists()


@pytest.mark.parametrize("verb", ["up", "demo"])
def test_what_needs_root_says_so_with_its_command(shared: Path, verb: str) -> None:
    result = run_as_nobody(shared, verb)
    assert result.returncode == 1
    assert f"sudo ./dev {verb}" in result.stderr


def test_a_clone_where_nix_cannot_name_it_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    clone = tmp_path / "my clone"
    clone.mkdir()
    shutil.copy(ROOT / "dev", clone / "dev")
    result = run("demo", cwd=clone)
    assert result.returncode == 1
    assert "my clone'; move this clone" in result.stderr
    assert [path.name for path in clone.iterdir()] == ["dev"]


def test_without_root_missing_packages_are_named_with_their_reason_and_command(shared: Path) -> None:
    result = run_as_nobody(shared, "test", path=str(shared))
    (shared / "apt-get").write_text("#!/bin/sh\nexit 99\n")
    (shared / "apt-get").chmod(0o755)
    assert "no apt-get" in result.stderr
    result = run_as_nobody(shared, "test", path=str(shared))
    assert result.returncode == 1
    assert "nix-bin: evaluates, builds, signs and copies" in result.stderr
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends" in result.stderr


def test_the_stamp_follows_the_lock_the_metadata_and_nothing_else(dev: ModuleType, tmp_path: Path) -> None:
    stamp = dev.wanted_stamp()
    assert dev.wanted_stamp() == stamp
    (tmp_path / "requirements.lock").write_text("a==2\n")
    changed = dev.wanted_stamp()
    assert changed != stamp
    (tmp_path / "pyproject.toml").write_text("[build-system]\n[project]\nname = 'x'\n")
    assert dev.wanted_stamp() not in {stamp, changed}


def test_an_update_of_the_same_python_keeps_the_environment(dev: ModuleType) -> None:
    script = "import runpy, sys; sys.version = 'another'; print(runpy.run_path('dev')['wanted_stamp']())"
    shown = subprocess.run([sys.executable, "-c", script], cwd=dev.ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == dev.wanted_stamp()


def test_a_package_is_there_when_its_program_file_or_module_is(dev: ModuleType, tmp_path: Path) -> None:
    assert dev.Package("a", "sh", "").is_there()
    assert dev.Package("a", "/etc/passwd", "").is_there()
    assert dev.Package("a", "import json", "").is_there()
    assert not dev.Package("a", "no-such-program", "").is_there()
    assert not dev.Package("a", str(tmp_path / "no"), "").is_there()
    assert not dev.Package("a", "import no_such_module", "").is_there()


def test_the_lock_and_the_script_name_no_index(dev: ModuleType) -> None:
    for path in (ROOT / "requirements.lock", ROOT / "dev", ROOT / ".ci" / "run"):
        text = path.read_text()
        assert "index-url" not in text
        assert "://" not in text, path


def test_clean_removes_what_was_made_here_and_says_what_it_keeps(dev: ModuleType, tmp_path: Path) -> None:
    for name in (".venv/bin", ".ruff_cache", "schema/__pycache__", "x.egg-info", "cache/procurator/parts"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cache/procurator/parts").chmod(0o555)
    result = run("clean", cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert result.returncode == 0
    assert f"kept: {tmp_path}/cache/procurator" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["cache", "schema"]
    run("clean", "--all", cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert not (tmp_path / "cache/procurator").exists()
