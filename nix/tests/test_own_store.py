"""A user's own store at `/nix`: what is seen in there, and when it is not made."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nix.own_store import enter_own_store, own_store, own_store_argv

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def as_nobody(home: str, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(ROOT), **environ},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_everything_but_nix_is_where_it_was(tmp_path: Path) -> None:
    top = [(Path("/bin"), "usr/bin"), (Path("/nix"), None), (Path("/usr"), None)]
    argv = own_store_argv(("true", "--x"), own=tmp_path, top=top)
    assert argv[:7] == ("bwrap", "--symlink", "usr/bin", "/bin", "--dev-bind", "/usr", "/usr")
    assert argv[7:10] == ("--bind", str(tmp_path), "/nix")
    assert argv[-3:] == ("--", "true", "--x")


def test_the_users_data_directory_holds_it() -> None:
    assert own_store({"XDG_DATA_HOME": "/data"}) == Path("/data/procurator/nix")
    assert own_store({}) == Path.home() / ".local/share/procurator/nix"


def test_root_uses_the_machines_store() -> None:
    assert os.geteuid() == 0, "the tests of this file need root"
    enter_own_store({})


def public_tree() -> None:
    if not all(place.stat().st_mode & 0o001 for place in (ROOT, *ROOT.parents)):
        pytest.skip(f"{ROOT} is out of others' reach, so nobody but root can run what is in it")


@pytest.fixture
def home() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chown(name, NOBODY, NOBODY)
        yield name


ENTER = """
import os, pathlib, sys
from nix.own_store import enter_own_store
enter_own_store(os.environ)
pathlib.Path("/nix/store/mine").mkdir()
print(os.getuid(), sorted(os.listdir("/nix")), os.getcwd(), sys.argv[1:])
"""


def test_a_user_becomes_the_same_program_where_nix_is_theirs(home: str) -> None:
    public_tree()
    done = as_nobody(home, sys.executable, "-c", ENTER, "--a b", "c")
    assert done.stdout == f"{NOBODY} ['store'] {home} ['--a b', 'c']\n", done.stderr
    assert Path(home, ".local/share/procurator/nix/store/mine").is_dir()
    assert not Path("/nix/store/mine").exists()


def test_without_bubblewrap_it_is_refused(home: str) -> None:
    public_tree()
    done = as_nobody(home, sys.executable, "-c", ENTER, PATH=home)
    assert "Unavailable: bwrap is not installed (Debian: bubblewrap)" in done.stderr
    assert not Path(home, ".local").exists()
