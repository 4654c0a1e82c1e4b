"""What of git's list of a commit is weighed: files with their bytes, whatever else is in it and wherever it is cut."""

import gc
import os
from pathlib import Path

import pytest

from autonix.collector import held_back
from autonix.findings import Share
from autonix.languages.aside import directory_is_aside
from autonix.listings import mapped
from autonix.scan import analyse, analyse_commit
from autonix.sizes import Sizes
from autonix.tests.test_tree import git, write

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.org")


def entry(path: str, size: str, mode: str = "100644 blob", *, digits: int = 40) -> bytes:
    return f"{mode} {'0123456789abcdef' * 4:.{digits}} {size:>7}\t{path}\0".encode()


@pytest.mark.parametrize("digits", [40, 64])
def test_links_submodules_and_objects_that_are_not_there_weigh_nothing(digits: int) -> None:
    printed = b"".join(
        entry(path, size, mode, digits=digits)
        for path, size, mode in (
            ("a blob 1/module", "-", "160000 commit"),
            ("b.py", "7", "100755 blob"),
            ("c.py", "9", "120000 blob"),
            ("d.py", "BAD", "100644 blob"),
            ("lib/b.py", "1234567890", "100644 blob"),
            ("lib/t\tab.py", "3", "100644 blob"),
            ("vendor/b.py", "5", "100644 blob"),
        )
    )
    printed += entry("lib/?.py", "4", digits=digits).replace(b"?", b"\xff")
    files = {"b.py": 7, "lib/b.py": 1234567890, "lib/t\tab.py": 3, "vendor/b.py": 5}
    assert dict(Sizes(printed)) == files
    assert Sizes(printed).by_name(directory_is_aside) == {"b.py": 1234567897, "t\tab.py": 3}
    assert Sizes(printed).named("b.py") == ["b.py", "lib/b.py", "vendor/b.py"]
    assert Sizes(printed).named("ab.py") == []


@pytest.mark.parametrize("block", [1, 60, 61, 62, 100, 1000])
def test_where_a_list_is_cut_changes_nothing(block: int) -> None:
    files = {f"d{number // 7}/f{number % 5}.py": number for number in range(35)}
    printed = b"".join(entry(path, str(size)) for path, size in files.items())
    whole = Sizes(printed).by_name(directory_is_aside)
    cut = Sizes(printed, block)
    assert dict(cut) == files
    assert cut.by_name(directory_is_aside) == whole
    assert cut.named("f3.py") == [path for path in files if path.endswith("/f3.py")]
    assert not list(Sizes(b"", block))


async def test_what_git_prints_is_what_is_read(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    for number in range(40):
        write(tmp_path, f"{'deep/' * (number % 4)}f{number}.go", "x" * number)
    write(tmp_path, "é.go", "x" * 100)
    write(tmp_path, "two\nlines.go", "x" * 100)
    (tmp_path / "link.go").symlink_to("f1.go")
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.go", os.O_CREAT | os.O_WRONLY))
    write(tmp_path, "gen/.gitattributes", "*.go linguist-generated\n")
    write(tmp_path, "gen/a.go", "x" * 1000)
    await git(tmp_path, "add", "-A")
    await git(tmp_path, *AUTHOR, "commit", "-qm", "x")
    printed = await mapped(tmp_path, ("ls-tree", "-r", "-z", "-l", "HEAD"))
    assert Sizes(printed).named(".gitattributes") == ["gen/.gitattributes"]
    assert (await analyse(tmp_path)).languages == (Share("Go", sum(range(40)) + 200),)
    assert (await analyse_commit(tmp_path, "HEAD")).languages == (Share("Go", sum(range(40)) + 200),)


def test_the_collector_goes_on_after_a_scan_and_stays_off_where_it_was() -> None:
    with held_back():
        assert not gc.isenabled()
        with held_back():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"), held_back():
        raise ValueError("x")
    assert gc.isenabled()
