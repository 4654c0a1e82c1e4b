"""What of a tree is listed and read: what git says, and nothing that would hang, leave the tree or fill the memory."""

import os
from pathlib import Path

import pytest

from autonix import tree
from autonix.listings import listed
from autonix.scan import analyse
from autonix.tree import list_tree, read_files
from nix.run import run
from schema.errors import CommandFailed, NotFound, TooLarge

ENV = {
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
}


async def git(directory: Path, *words: str) -> None:
    await run(("git", *words), deadline=60, env=ENV, cwd=directory)


def write(root: Path, path: str, text: str = "x\n") -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


async def test_git_says_which_files_count(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    for path in ("kept.txt", "new.txt", "ignored/a", "deep/er/b"):
        write(tmp_path, path)
    write(tmp_path, ".gitignore", "ignored/\n")
    await git(tmp_path, "add", "kept.txt")
    assert (await list_tree(tmp_path)).paths == (".gitignore", "deep/er/b", "kept.txt", "new.txt")


async def test_a_directory_of_a_repository_has_its_own_paths(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    write(tmp_path, "service/a")
    write(tmp_path, "other/b")
    assert (await list_tree(tmp_path / "service")).paths == ("a",)


async def test_a_plain_directory_has_all_its_files(tmp_path: Path) -> None:
    write(tmp_path, "a/b/c")
    write(tmp_path, ".git/config", "[core]\n")
    write(tmp_path, "d")
    assert (await list_tree(tmp_path)).paths == ("a/b/c", "d")


async def test_a_repository_cannot_make_the_listing_run_a_program(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    trace = tmp_path / "ran"
    hook = write(tmp_path, "hook", f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    await git(tmp_path, "config", "core.fsmonitor", str(hook))
    await git(tmp_path, "config", "core.hooksPath", str(tmp_path))
    assert (await list_tree(tmp_path)).paths == ("hook",)
    assert not trace.exists()


async def test_a_tree_that_stops_git_is_listed_without_it(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    write(tmp_path, "a/b")
    os.mkfifo(tmp_path / "a/.gitignore")
    assert (await list_tree(tmp_path, git_deadline=0.5)).paths == ("a/.gitignore", "a/b")


async def test_a_list_without_end_is_cut_off(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    for number in range(50):
        write(tmp_path, f"directory/{'x' * 200}{number}")
    words = ("ls-files", "-z", "--others")
    whole = await listed(tmp_path, words)
    assert whole.count(b"\0") == 50
    with pytest.raises(TooLarge):
        await listed(tmp_path, words, most=len(whole) // 2)
    with pytest.raises(CommandFailed):
        await listed(tmp_path, ("ls-files", "--no-such-option"))


async def test_what_is_not_a_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not a directory"):
        await list_tree(tmp_path / "absent")


async def test_files_that_cannot_be_read_are_skipped_with_the_reason(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside/secret")
    root = tmp_path / "tree"
    write(root, "good", "héllo\r\nthere\n")
    (root / "latin").write_bytes(b"caf\xe9\n")
    (root / "binary").write_bytes(b"\0\1")
    (root / "huge").write_bytes(b"x" * (tree.MAX_FILE + 1))
    os.mkfifo(root / "pipe")
    (root / "away").symlink_to(outside)
    (root / "aways").symlink_to(outside.parent)
    (root / "near").symlink_to("good")
    (root / "loop").symlink_to("loop")
    wanted = ["good", "latin", "binary", "huge", "pipe", "away", "aways/secret", "near", "loop", "gone"]
    contents = await read_files(root, wanted)
    assert contents.texts == {"good": "héllo\nthere\n", "near": "héllo\nthere\n"}
    reasons = {item.file: item.reason for item in contents.skipped}
    assert reasons["away"] == reasons["aways/secret"] == "a symlink that leaves the tree"
    assert reasons["latin"] == "not UTF-8 text"
    assert reasons["binary"] == "not text: it holds a NUL"
    assert reasons["pipe"] == "not a regular file"
    assert reasons["huge"].endswith(f"more than the {tree.MAX_FILE} that are read")
    assert reasons["gone"] == "cannot be read: No such file or directory"
    assert set(reasons) == set(wanted) - {"good", "near"}


async def test_git_s_own_files_are_not_reached_through_a_symlink(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    (tmp_path / "package.json").symlink_to(".git/config")
    contents = await read_files(tmp_path, ["package.json"])
    assert contents.texts == {}


async def test_odd_names_and_deep_paths_do_no_harm(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path)
    for name in (b"new\nline", b"\xff\xfe", b"esc\x1b[2J", b"fine name"):
        os.close(os.open(directory + b"/" + name, os.O_CREAT | os.O_WRONLY))
    deep = tmp_path
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d" * 20, dir_fd=descriptor)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("package.json", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    assert (await list_tree(tmp_path)).paths == ("fine name",)


async def test_the_same_tree_gives_the_same_analysis(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path, f"packages/{number:02}/package.json", f'{{"name": "p{number}", "scripts": {{"test": "jest"}}}}')
    write(tmp_path, "package.json", '{"name": "root", "workspaces": ["packages/*"]}')
    assert await analyse(tmp_path) == await analyse(tmp_path)


async def test_a_broken_manifest_is_noted_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "[project\n")
    write(tmp_path, "compose.yaml", "services:\n  db: &a\n    image: *a\n  x: [\n")
    write(tmp_path, "package.json", '{"name": "still-here"}')
    analysis = await analyse(tmp_path)
    assert [project.name.value for project in analysis.projects if project.name] == ["still-here"]
    assert [item.file for item in analysis.skipped] == ["compose.yaml", "pyproject.toml"]
