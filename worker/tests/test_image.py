"""A closure becomes an erofs image, always the same, once."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import trio

from nix.result import PathInfo
from nix.run import run
from schema.errors import CommandFailed
from worker.image import Images, closure_hash
from worker.tests.builders import store_path


def a_store(root: Path, *names: str) -> dict[str, PathInfo]:
    closure = {}
    for name in names:
        path = store_path(name)
        folder = root / path.lstrip("/")
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / name).write_text(f"I am {name}")
        (folder / "bin" / name).chmod(0o555)
        (folder / "link").symlink_to(f"{path}/bin/{name}")
        closure[path] = PathInfo(path, f"sha256-{name}", 1, ())
    return closure


def images(root: Path) -> Images:
    return Images(root / "images", physical=lambda path: root / path.lstrip("/"))


async def test_the_top_of_the_image_holds_the_store_paths(tmp_path: Path) -> None:
    closure = a_store(tmp_path, "a", "b")
    a_store(tmp_path, "not-in-the-closure")
    image = await images(tmp_path).image_of(closure, of=["/nix/store/x"])
    out = tmp_path / "out"
    await run(("fsck.erofs", f"--extract={out}", str(image)), deadline=120, env={})
    assert {f"/nix/store/{path.name}" for path in out.iterdir()} == set(closure)
    a = out / Path(store_path("a")).name
    assert (a / "bin/a").read_text() == "I am a"
    assert str((a / "link").readlink()) == f"{store_path('a')}/bin/a"
    assert (a / "bin/a").stat().st_mode & 0o777 == 0o555


async def test_the_same_closure_gives_the_same_bytes_on_another_machine(tmp_path: Path) -> None:
    first = await images(tmp_path / "one").image_of(a_store(tmp_path / "one", "a", "b", "c"), of=["/nix/store/x"])
    second = await images(tmp_path / "two").image_of(a_store(tmp_path / "two", "c", "b", "a"), of=["/nix/store/x"])
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


async def test_several_that_want_an_image_at_once_cost_one_build(tmp_path: Path) -> None:
    closure, shelf = a_store(tmp_path, "a"), images(tmp_path)
    made: list[int] = []

    async def want() -> None:
        made.append((await shelf.image_of(closure, of=["/nix/store/x"])).stat().st_ino)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(want)
    assert len(set(made)) == 1
    assert [path.name for path in (tmp_path / "images").glob("*.erofs")] == [f"{closure_hash(closure)}.erofs"]


async def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    closure = {store_path("gone"): PathInfo(store_path("gone"), "sha256-gone", 1, ())}
    with pytest.raises(CommandFailed):
        await images(tmp_path).image_of(closure, of=["/nix/store/x"])
    assert list((tmp_path / "images").iterdir()) == []


def test_what_a_killed_build_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "images/.abc.erofs.building/tree").mkdir(parents=True)
    (tmp_path / "images/kept.erofs").touch()
    images(tmp_path).clear_unfinished()
    assert [path.name for path in (tmp_path / "images").glob("*.erofs")] == ["kept.erofs"]


def test_what_an_ordinary_user_linked_out_of_a_store_is_removed_again() -> None:
    nobody = 65_534
    root = Path(tempfile.mkdtemp())
    try:
        unfinished = root / "images" / ".x.building" / "tree" / "path"
        unfinished.mkdir(parents=True)
        (unfinished / "file").touch()
        for directory in (root, *root.rglob("*")):
            os.chown(directory, nobody, nobody)
        unfinished.chmod(0o555)
        child = os.fork()
        if child == 0:
            os.setresuid(nobody, nobody, nobody)
            try:
                Images(root / "images", physical=Path).clear_unfinished()
            finally:
                os._exit((root / "images" / ".x.building").exists())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        shutil.rmtree(root)
