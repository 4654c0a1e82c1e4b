"""The order of modules, and that parts which are there are not made again."""

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nix.parts import STAGES, load_order, make_parts, module_depends, version_line, without_signature
from nix.tests.places import REPOSITORY, parts

DEPENDS = {"a": ["b", "c"], "b": ["c"], "c": [], "d": ["a"]}


def test_what_a_module_needs_goes_before_it() -> None:
    assert load_order(["d", "b"], lambda name: DEPENDS[name], loaded=[]) == ["c", "b", "a", "d"]
    assert load_order(["d"], lambda name: DEPENDS[name], loaded=["c", "b"]) == ["a", "d"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(DEPENDS))), st.lists(st.sampled_from(sorted(DEPENDS))))
def test_orders_are_complete_and_have_nothing_twice(wanted: list[str], loaded: list[str]) -> None:
    order = load_order(wanted, lambda name: DEPENDS[name], loaded=loaded)
    assert len(order) == len(set(order))
    assert {*wanted} <= {*order, *loaded}
    for place, name in enumerate(order):
        assert {*DEPENDS[name]} <= {*order[:place], *loaded}


def test_a_module_names_what_it_depends_on() -> None:
    assert module_depends(b"\0license=GPL\0depends=virtio,virtio-ring\0name=x\0") == ["virtio", "virtio_ring"]
    assert module_depends(b"\0depends=\0") == []
    assert module_depends(b"ELF") == []


def test_a_signature_is_cut_off() -> None:
    signed = b"module" + b"S" * 300 + bytes(8) + (300).to_bytes(4, "big") + b"~Module signature appended~\n"
    assert without_signature(signed) == b"module"
    assert without_signature(b"module") == b"module"


async def test_complete_parts_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/manifest").write_text(f"{version_line()}\n")
    said: list[str] = []
    assert await make_parts(tmp_path, say=said.append) == tmp_path / "parts"
    assert said == []


def test_frozen_parts_can_be_moved_into_place_without_root(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from nix.parts import _move, _freeze\n"
        "work = Path(sys.argv[1]); (work / 'fresh/parts').mkdir(parents=True); _freeze(work / 'fresh/parts')\n"
        "_move(work / 'fresh/parts', work / 'parts'); print(oct((work / 'parts').stat().st_mode & 0o777))\n"
    )
    powerless = ["setpriv", "--bounding-set", "-dac_override", "--"] if os.geteuid() == 0 else []
    argv = [*powerless, sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("0o555\n", "")


async def test_parts_are_frozen_and_have_what_the_guest_loads() -> None:
    made = await parts()
    for path in [made, *made.rglob("*")]:
        assert path.lstat().st_mtime == 1
        assert path.is_symlink() or path.stat().st_mode & 0o222 == 0
    listed = [name for stage in STAGES for name in (made / "modules" / stage).read_text().split()]
    assert len(listed) == len(set(listed))
    assert listed.index("virtio_ring") < listed.index("virtio")
    assert all((made / "modules" / f"{name}.ko").exists() for name in listed)
    assert (made / "bin/httpd").resolve() == made / "bin/busybox"
    assert (made / "bzImage").stat().st_size > 1_000_000
