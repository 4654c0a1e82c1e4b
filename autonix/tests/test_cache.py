"""The cache changes no analysis: whatever is kept, damaged or shared, the same tree gives an equal one."""

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autonix import cache as cache_module
from autonix.cache import Cache, key_of, user_cache
from autonix.findings import Analysis, Skipped
from autonix.memory import unpacked
from autonix.reader import Reader
from autonix.scan import analyse, analyse_commit
from autonix.tests.archive import repository
from autonix.tests.test_tree import ENV, git, write
from autonix.understand import understood
from nix.run import run
from schema.errors import InvalidInput, NotFound

CHANGES: Mapping[str, tuple[str, ...]] = {
    "package.json": ('{"name": "a", "dependencies": {"pg": "8"}}', '{"name": "b"}', "{"),
    "compose.yaml": ("services: {db: {image: postgres:16}}", "services: {db: {image: redis}}"),
    "src/main.rs": ("fn main() {}",),
    "Cargo.toml": ('[package]\nname = "r"\nversion = "1.0.0"\n',),
    "src/more.py": ("x = 1\n", "x = 22\n"),
    "Makefile": ("test:\n\tmake -C src\n",),
    "a.c": ("int x;\n",),
    ".gitlab-ci.yml": ("include: {local: other.yml}\n",),
    "other.yml": ("test: {script: [make test]}\n",),
    ".gitattributes": ("*.py linguist-language=Ruby\n",),
    "go.sum": ("",),
    "go.mod": ("module x\n",),
}


async def commit(root: Path) -> None:
    await git(root, "add", "-A")
    await git(root, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "x")


async def a_repository(directory: Path, name: str = "compose-layers") -> Path:
    root = repository(name).write(directory / "repository")
    await git(root, "init", "-q")
    await commit(root)
    return root


@pytest.mark.parametrize("name", ["compose-layers", "ci-many", "javascript-pnpm-workspace", "c-make"])
async def test_a_commit_a_checkout_and_the_cache_agree(tmp_path: Path, name: str) -> None:
    root = await a_repository(tmp_path, name)
    cache = Cache(tmp_path / "cache")
    first = await analyse(root)
    assert first.projects or first.services
    for again in [await analyse(root, cache=cache) for _ in range(2)]:
        assert repr(again) == repr(first)
    for again in [await analyse_commit(root, "HEAD", cache=each) for each in (None, cache, cache)]:
        assert repr(again) == repr(first)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from([(path, text) for path, texts in CHANGES.items() for text in (*texts, None)]), max_size=4
    )
)
def test_after_any_changes_the_cache_says_what_a_first_scan_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str | None]]
) -> None:
    async def story() -> None:
        directory = tmp_path_factory.mktemp("story")
        root = directory / "repository"
        root.mkdir()
        await git(root, "init", "-q")
        write(root, "compose.yaml", CHANGES["compose.yaml"][0])
        cache = Cache(directory / "cache")
        for path, text in [("package.json", CHANGES["package.json"][0]), *steps]:
            if text is None:
                (root / path).unlink(missing_ok=True)
            else:
                write(root, path, text)
            await commit(root)
            first = repr(await analyse(root))
            assert repr(await analyse(root, cache=cache)) == first
            assert repr(await analyse_commit(root, "HEAD", cache=cache)) == first

    trio.run(story)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tracked=st.sets(st.sampled_from(sorted(CHANGES))), untracked=st.sets(st.sampled_from(sorted(CHANGES))))
def test_files_that_git_does_not_track_count_like_those_that_it_does(
    tmp_path_factory: pytest.TempPathFactory, tracked: set[str], untracked: set[str]
) -> None:
    async def story() -> None:
        directory = tmp_path_factory.mktemp("story")
        root, cache = directory / "repository", Cache(directory / "cache")
        root.mkdir()
        await git(root, "init", "-q")
        for path in sorted(tracked):
            write(root, path, CHANGES[path][0])
        await git(root, "add", "-A")
        for path in sorted(untracked - tracked):
            write(root, path, CHANGES[path][0])
        found = [await analyse(root, cache=each) for each in (None, cache, cache)]
        await git(root, "add", "-A")
        found += [await analyse(root, cache=each) for each in (None, cache)]
        assert len({repr(replace(each, languages=())) for each in found}) == 1

    trio.run(story)


async def test_untracked_files_that_nobody_asks_for_cost_no_second_understanding(tmp_path: Path) -> None:
    times = 0

    def counting(name: str, reader: Reader, skipped: Sequence[Skipped]) -> Analysis:
        nonlocal times
        times += 1
        return understood(name, reader, skipped)

    root = await a_repository(tmp_path)
    count = partial(analyse, root, understand=counting)
    first = await count()
    write(root, "notes/today", "x\n")
    assert await count() == first
    assert times == 2
    write(root, "package.json", CHANGES["package.json"][0])
    assert (await count()).projects != first.projects
    assert times == 4


async def test_a_commit_that_changes_only_sources_costs_no_second_reading(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    cache = Cache(tmp_path / "cache")
    write(root, "lib/a.py", "x = 1\n")
    await commit(root)
    before = await analyse_commit(root, "HEAD", cache=cache)
    write(root, "lib/a.py", "x = 2222\n")
    write(root, "lib/b.py", "y = 1\n")
    await commit(root)
    # Without the objects that a first scan reads, only the cache can answer.
    for blob in ("compose.yml", "Dockerfile"):
        name = (await run_git(root, "rev-parse", f"HEAD:{blob}")).strip()
        (root / ".git" / "objects" / name[:2] / name[2:]).unlink()
    after = await analyse_commit(root, "HEAD", cache=cache)
    assert after.services == before.services
    assert {each.language: each.size for each in after.languages}["Python"] == 9 + 6
    assert (await analyse_commit(root, "HEAD")).services != before.services


async def test_a_kept_analysis_is_found_many_commits_back(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    cache = Cache(tmp_path / "cache")
    before = await analyse_commit(root, "HEAD", cache=cache)
    for number in range(12):
        write(root, "lib/a.py", f"x = {number}\n")
        await commit(root)
    name = (await run_git(root, "rev-parse", "HEAD:compose.yml")).strip()
    (root / ".git" / "objects" / name[:2] / name[2:]).unlink()
    assert (await analyse_commit(root, "HEAD", cache=cache)).services == before.services
    assert (await analyse_commit(root, "HEAD")).services != before.services


async def test_a_file_that_becomes_a_directory_costs_the_difference_and_a_link_a_reading(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    cache = Cache(tmp_path / "cache")
    write(root, "lib/a.py", "x = 1\n")
    await commit(root)
    kept = await analyse_commit(root, "HEAD", cache=cache)
    (root / "lib/a.py").unlink()
    write(root, "lib/a.py/inner/c.py", "z = 333\n")
    await commit(root)
    again = await analyse_commit(root, "HEAD", cache=cache)
    assert again == await analyse_commit(root, "HEAD") != kept
    assert len(list((tmp_path / "cache").iterdir())) == 1
    (root / "lib/linked.py").symlink_to("a.py/inner/c.py")
    await commit(root)
    assert await analyse_commit(root, "HEAD", cache=cache) == again
    assert len(list((tmp_path / "cache").iterdir())) == 2


async def run_git(root: Path, *words: str) -> str:
    return (await run(("git", *words), deadline=60, env=ENV, cwd=root)).stdout.decode()


async def test_a_bare_repository_is_read_as_well(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    await git(tmp_path, "clone", "-q", "--bare", str(root), "repository.git")
    assert await analyse_commit(tmp_path / "repository.git", "HEAD") == await analyse(root)


async def test_links_within_a_commit_are_followed_and_others_are_not(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    write(root, "shared/real.json", '{"name": "real"}')
    write(root, "a/x")
    (root / "a" / "package.json").symlink_to("../shared/real.json")
    write(root, "b/x")
    (root / "b" / "package.json").symlink_to("../../outside.json")
    (root / "Cargo.toml").symlink_to("Cargo.toml")
    await git(root, "init", "-q")
    await commit(root)
    cache = Cache(tmp_path / "cache")
    found = await analyse_commit(root, "HEAD", cache=cache)
    assert found == await analyse(root)
    assert [project.path for project in found.projects] == ["a"]
    write(root, "shared/real.json", '{"name": "other"}')
    await commit(root)
    changed = await analyse_commit(root, "HEAD", cache=cache)
    assert changed == await analyse(root)
    assert changed != found


@pytest.mark.parametrize("wrong", ["--output=x", "", "a\nb"])
async def test_what_is_no_revision_is_refused(tmp_path: Path, wrong: str) -> None:
    root = await a_repository(tmp_path)
    with pytest.raises(InvalidInput):
        await analyse_commit(root, wrong)
    with pytest.raises(NotFound, match="has no commit"):
        await analyse_commit(root, "nowhere")
    with pytest.raises(NotFound, match="no repository"):
        await analyse_commit(tmp_path, "HEAD")


async def test_a_damaged_cache_is_no_cache(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    cache = Cache(tmp_path / "cache")
    first = await analyse(root, cache=cache)
    [kept] = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[:-1], whole[:50], b"x" * len(whole), whole.replace(b"postgres", b"postgrez")):
        kept.write_bytes(damaged)
        assert cache.get(kept.name) is None
        assert await analyse(root, cache=cache) == first
        assert kept.read_bytes() == whole


def test_a_kept_file_makes_only_our_own_values() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("false",)

    assert unpacked(pickle.dumps(Evil())) is None
    assert unpacked(pickle.dumps(getattr(Path, "home"))) is None  # noqa: B009 - the name is what is pickled
    assert unpacked(pickle.dumps(Analysis("x"))) is None
    assert unpacked(b"\x80\x05N.") is None


async def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    write(tmp_path, "file")
    assert await analyse(root, cache=Cache(tmp_path / "file" / "cache")) == await analyse(root)


async def test_many_writers_leave_whole_files(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    cache = Cache(tmp_path / "cache")
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(lambda: analyse(root, cache=cache))
    [kept] = (tmp_path / "cache").iterdir()
    assert cache.get(kept.name) is not None
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    root = await a_repository(tmp_path)
    cache = Cache(tmp_path / "cache")
    await analyse(root, cache=cache)
    [kept] = (tmp_path / "cache").iterdir()
    for number in range(cache_module.MAX_FILES):
        os.utime(write(tmp_path, f"cache/{number}"), (number, number))
    found = cache.get(kept.name)
    assert found is not None
    cache.put(key_of("another"), found)
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert len(left) == cache_module.MAX_FILES
    assert {kept.name, key_of("another")} <= left
    assert "0" not in left


def test_the_cache_lies_in_the_users_cache_directory(tmp_path: Path) -> None:
    named, home = user_cache({"XDG_CACHE_HOME": "/c", "HOME": str(tmp_path)}), user_cache({"HOME": str(tmp_path)})
    assert named is not None and named.directory == Path("/c/procurator/autonix")
    assert home is not None and home.directory == tmp_path / ".cache" / "procurator" / "autonix"


def test_without_a_home_of_ones_own_nothing_is_kept_and_none_is_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    nobodys = (str(tmp_path / "nonexistent"), str(file), "", ".")
    assert [user_cache({"HOME": home}) for home in nobodys] == [None] * len(nobodys)
    assert user_cache({}) is None
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_a_home_of_another_user_is_left_alone(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    assert user_cache({"HOME": str(tmp_path)}) is None
