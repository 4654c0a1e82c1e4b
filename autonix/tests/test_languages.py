"""Language shares: what counts for which language, and that GitHub's own counter sees the same one on top."""

import json
import shutil
from pathlib import Path

import pytest

from autonix.findings import Share
from autonix.languages.attributes import rules_of, said_of
from autonix.languages.names import language_of
from autonix.languages.shares import Tally, counted_as, settled
from autonix.scan import analyse
from autonix.tests.archive import Repository, held_out, repositories
from autonix.tests.test_tree import git, write
from nix.run import run

LINGUIST = shutil.which("github-linguist")


def shares(sizes: dict[str, int], attributes: str = "") -> list[tuple[str, int]]:
    languages = dict(counted_as(sizes, rules_of({".gitattributes": attributes})))
    tally = Tally({}).changed(gone=(), new=((languages[path], sizes[path]) for path in languages))
    return [(share.language, share.size) for share in settled(tally)]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.py", "Python"),
        ("A.PY", "Python"),
        ("x.blade.php", "Blade"),
        ("x.y.php", "PHP"),
        ("Makefile", "Makefile"),
        ("Dockerfile.dev", "Dockerfile"),
        ("README.md", None),
        ("data.json", None),
        ("LICENSE", None),
        (".gitignore", None),
        ("a.", None),
    ],
)
def test_a_name_tells_the_language(name: str, language: str | None) -> None:
    assert language_of(name) == language


def test_vendored_generated_and_documentation_do_not_count() -> None:
    aside = [
        "vendor/a.go",
        "web/node_modules/x/i.js",
        "docs/conf.py",
        "api.pb.go",
        "jquery-3.1.js",
        "a.min.js",
        "x.d.ts",
    ]
    assert shares({"main.go": 5, **dict.fromkeys(aside, 1000)}) == [("Go", 5)]


def test_headers_are_of_the_language_that_has_most_else() -> None:
    assert shares({"a.h": 100, "a.c": 10, "b.cpp": 20}) == [("C++", 120), ("C", 10)]
    assert shares({"a.h": 100, "x.py": 20}) == [("C", 100), ("Python", 20)]


def test_gitattributes_go_before_names() -> None:
    assert shares({"vendor/a.go": 3, "b.py": 2}, "vendor/* -linguist-vendored\n") == [("Go", 3), ("Python", 2)]
    assert shares({"gen/a.go": 3, "b.py": 2}, "gen/** linguist-generated=true\n") == [("Python", 2)]
    assert shares({"x/a.inc": 3}, "*.inc linguist-language=PHP\n") == [("PHP", 3)]


def test_the_last_rule_counts_and_an_inner_file_goes_before_an_outer_one() -> None:
    rules = rules_of({"a/.gitattributes": "*.js -linguist-vendored", ".gitattributes": "*.js linguist-vendored"})
    assert said_of("b.js", rules) == (True, None)
    assert said_of("a/deep/b.js", rules) == (False, None)


def test_a_hostile_pattern_costs_no_time() -> None:
    lines = ["*" * 190 + "a", "**/" * 60 + "b", "*x" * 90 + "b", "*/**/" * 40 + "b"]
    rules = rules_of({".gitattributes": "".join(f"{line} linguist-vendored\n" for line in lines)})
    assert said_of("x/" * 30 + "x" * 200, rules) == (None, None)


async def test_only_what_git_tracks_counts(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    write(tmp_path, "a.py", "x = 1\n")
    write(tmp_path, "b.rs", "fn main() {}\n")
    await git(tmp_path, "add", "a.py")
    assert (await analyse(tmp_path)).languages == (Share("Python", 6),)


@pytest.mark.skipif(LINGUIST is None, reason="needs github-linguist (Debian's ruby-github-linguist)")
async def test_the_top_language_is_that_of_githubs_counter(tmp_path: Path) -> None:
    every = [*repositories(), *held_out()][::8]
    differing = []
    # Where one of the two sees nothing (a script that only its first line gives away) there is nothing to compare.
    for repository in every:
        ours, theirs = await tops(repository, tmp_path / repository.name)
        if ours and theirs and ours != theirs:
            differing.append((repository.name, ours, theirs))
    assert len(differing) <= len(every) // 8, differing


async def tops(repository: Repository, directory: Path) -> tuple[str | None, str | None]:
    """Our top language and linguist's."""
    repository.write(directory)
    await git(directory, "init", "-q")
    await git(directory, "add", "-A", "-f")
    await git(directory, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all")
    languages = (await analyse(directory)).languages
    program = str(LINGUIST)
    printed = (await run((program, str(directory), "--json"), deadline=60, env={"HOME": "/nonexistent"})).stdout
    sizes = {name: int(found["size"]) for name, found in json.loads(printed or b"{}").items()}
    return (languages[0].language if languages else None), (max(sizes, key=lambda n: sizes[n]) if sizes else None)
