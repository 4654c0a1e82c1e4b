"""A killed service's git is ended and what it left is cleared; nobody else's programs and repositories are touched."""

import subprocess
from pathlib import Path

import pytest

from nix.git_locks import mend_clones
from nix.left_behind import end_left_behind


def test_a_git_that_works_below_the_directory_is_ended_and_nothing_else(tmp_path: Path) -> None:
    ours, others = tmp_path / "ci", tmp_path / "ci-of-somebody"
    for repository in (ours / "a.git", others / "a.git"):
        subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)  # noqa: S607
    waits = ["cat-file", "--batch"]
    started = [
        subprocess.Popen(argv, stdin=subprocess.PIPE)
        for argv in (
            ["git", f"--git-dir={ours}/a.git", *waits],
            ["git", f"--git-dir={others}/a.git", *waits],
            ["cat", "-", f"{ours}/a.git/HEAD"],
        )
    ]
    try:
        assert end_left_behind(ours) == (f"git --git-dir={ours}/a.git cat-file --batch",)
        assert started[0].wait(30) == -9
        assert [one.poll() for one in started[1:]] == [None, None]
        assert end_left_behind(ours) == ()
    finally:
        for one in started:
            one.kill()
            one.communicate()


@pytest.mark.parametrize("left", [[], ["HEAD"], ["HEAD", "config.lock"]])
def test_a_clone_whose_making_was_killed_is_removed_and_a_whole_one_is_unlocked(
    tmp_path: Path, left: list[str]
) -> None:
    clones = tmp_path / "nix" / "gitv3"
    half, whole = clones / "0half", clones / "1whole"
    half.mkdir(parents=True)
    for name in left:
        (half / name).touch()
    subprocess.run(["git", "init", "--quiet", "--bare", str(whole)], check=True)  # noqa: S607
    (whole / "shallow.lock").touch()
    (clones / "1whole.lock").touch()
    assert mend_clones(tmp_path) == (half, whole / "shallow.lock")
    assert sorted(clones.iterdir()) == [whole, clones / "1whole.lock"]
    assert mend_clones(tmp_path) == ()
    assert mend_clones(tmp_path / "nothing") == ()
