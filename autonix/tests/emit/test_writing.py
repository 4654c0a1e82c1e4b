"""Writing is both files or none, over whatever is there and however it fails."""

from pathlib import Path

import pytest

from autonix.emit.changes import State, changes
from autonix.emit.files import Generated, generated, sealed
from autonix.emit.writing import existing, write_both
from autonix.tests.emit.analyses import GOLDEN
from schema.errors import InvalidInput

NEW = Generated(flake=sealed("{ new = 1; }\n"), cluster=sealed("{ new = 2; }\n"))
OLD = Generated(flake=sealed("{ old = 1; }\n"), cluster=sealed("{ old = 2; }\n"))


def place(directory: Path, texts: Generated) -> None:
    for name, text in texts.files():
        (directory / name).write_text(text)


def states(directory: Path, new: Generated = NEW) -> list[State]:
    return [change.state for change in changes(new, existing(directory))]


def test_each_file_has_its_state(tmp_path: Path) -> None:
    assert states(tmp_path) == [State.ABSENT, State.ABSENT]
    place(tmp_path, OLD)
    assert states(tmp_path) == [State.OURS, State.OURS]
    (tmp_path / "flake.nix").write_text(NEW.flake)
    (tmp_path / "cluster.nix").write_text(OLD.cluster + "# mine")
    assert states(tmp_path) == [State.SAME, State.EDITED]


def test_both_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    place(tmp_path, OLD)
    write_both(tmp_path, changes(NEW, existing(tmp_path)))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict(NEW.files())


@pytest.mark.parametrize("blocked", ["flake.nix", "cluster.nix"])
def test_where_one_cannot_take_its_place_the_other_goes_back(tmp_path: Path, blocked: str) -> None:
    place(tmp_path, OLD)
    wanted = changes(NEW, existing(tmp_path))
    (tmp_path / blocked).unlink()
    (tmp_path / blocked / "inside").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="nothing was written"):
        write_both(tmp_path, wanted)
    [other] = {"flake.nix", "cluster.nix"} - {blocked}
    assert (tmp_path / other).read_text() == dict(OLD.files())[other]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.nix", "flake.nix"]


def test_a_new_file_does_not_stay_where_the_other_could_not_be_written(tmp_path: Path) -> None:
    wanted = changes(NEW, existing(tmp_path))
    (tmp_path / "cluster.nix").mkdir()
    with pytest.raises(InvalidInput, match="nothing was written"):
        write_both(tmp_path, wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.nix"]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flake.nix").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        existing(tmp_path)
    (tmp_path / "flake.nix").unlink()
    (tmp_path / "flake.nix").write_bytes(b" " * (16 * 1024 * 1024 + 1))
    with pytest.raises(InvalidInput, match="larger"):
        existing(tmp_path)


def test_the_difference_is_that_of_diff_u(tmp_path: Path) -> None:
    (tmp_path / "flake.nix").write_text("{ }")
    flake, cluster = changes(generated(GOLDEN["empty"]), existing(tmp_path))
    assert flake.difference.startswith("--- a/flake.nix\n+++ b/flake.nix\n@@ -1 +1,")
    assert "-{ }\n\\ No newline at end of file\n" in flake.difference
    assert cluster.difference.startswith("--- /dev/null\n+++ b/cluster.nix\n")
