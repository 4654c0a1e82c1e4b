"""What the demo tells to try does what it says, in a copy of the example."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.demo.__main__ import EXAMPLE, NEW_TEXT, UNHEALTHY


def git_identity() -> dict[str, str]:
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    return {f"GIT_{name}": "a newcomer" for name in names}


@pytest.mark.parametrize(
    ("command", "file", "text"),
    [
        (NEW_TEXT, "web/index.html", "\n<p>A new text.</p>\n"),
        (UNHEALTHY, "variant.nix", '(README.md).\n"unhealthy"\n'),
    ],
)
def test_it_changes_one_file_in_one_commit(tmp_path: Path, command: str, file: str, text: str) -> None:
    clone = tmp_path / "example"
    shutil.copytree(EXAMPLE, clone)

    def shell(script: str) -> str:
        environ = {**os.environ, **git_identity()}
        done = subprocess.run(
            ["/bin/sh", "-ec", script], cwd=clone, env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    shell("git init -q; git add --all; git commit -qm first")
    shell(command)
    assert shell("git show --name-only --format=") == f"{file}\n"
    assert shell("git status --porcelain") == ""
    assert text in (clone / file).read_text()
