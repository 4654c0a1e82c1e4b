"""What is kept on disk comes back, and what is damaged counts as absent."""

import json
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.assignment import SignedAssignment
from worker.memories import Memories
from worker.records import Records
from worker.slots import Slots
from worker.tests.builders import a_content, an_attachment
from worker.vm_state import GivenUp, Memory


def test_the_signed_assignment_comes_back_byte_for_byte(tmp_path: Path) -> None:
    for data in (b'{"a":\xff}', b"\n\n", b"x" * 200_000, b"short"):
        for intents in ((), (b"{}", b"\n 7\n", b"y" * 100_000)):
            signed = SignedAssignment(data, 'a "key" of\n 7 words:c2ln', intents)
            Records(tmp_path).keep_assignment(signed)
            assert Records(tmp_path).kept_assignment() == signed


def test_memories_and_what_was_booted_come_back(tmp_path: Path) -> None:
    memory = Memory("a" * 64, GivenUp((3, "b" * 64), "port 80 is closed"))
    records = Records(tmp_path)
    records.memories.put("web-0", memory)
    records.memories.put("db-0", Memory("c" * 64))
    records.memories.keep()
    records.keep_booted("web-0", a_content(3), an_attachment())
    assert Records(tmp_path).memories.of("web-0") == memory
    assert Records(tmp_path).memories.of("db-0") == Memory("c" * 64)
    assert Records(tmp_path).booted("web-0") == ((a_content(3),), an_attachment())
    records.forget("web-0")
    records.memories.keep()
    assert Records(tmp_path).memories.of("web-0") == Memory()
    assert records.booted("web-0") is None


def test_damaged_records_count_as_absent(tmp_path: Path) -> None:
    for damaged in (b"", b"{", b"PSL1", b"\x00" * 100_000, os.urandom(300)):
        for name in ("assignment.0", "assignment.1", "memories.0"):
            (tmp_path / name).write_bytes(damaged)
        assert Records(tmp_path).kept_assignment() is None
        assert Records(tmp_path).memories.of("web-0") == Memory()


@pytest.mark.parametrize("text", ["[]", "{", '{"web-0": 1}', '{"web-0": ["a"]}', '{"web-0": ["a", ["b", 1, 2]]}'])
def test_memories_that_this_version_did_not_write_are_none(tmp_path: Path, text: str) -> None:
    Slots(tmp_path / "memories").write(text.encode())
    assert Memories(tmp_path / "memories").of("web-0") == Memory()


@given(sizes=st.lists(st.integers(0, 300_000), min_size=1, max_size=5), cut=st.floats(0, 1), junk=st.binary(max_size=8))
def test_a_power_cut_amid_a_writing_leaves_what_was_written_before_or_what_was_being_written(
    sizes: list[int], cut: float, junk: bytes
) -> None:
    """Of the file that was being written any part may be new, anything else old, and a sector in between neither."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        texts = [b"", *(bytes([number]) * size for number, size in enumerate(sizes))]
        for text in texts[:-1]:
            Slots(home / "kept").write(text)
        before = contents(home)
        Slots(home / "kept").write(texts[-1])
        ((name, new),) = set(contents(home).items()) - set(before.items())
        old, at = before.get(name, b""), round(cut * len(new))
        (home / name).write_bytes(new[:at] + junk + old[at + len(junk) :])
        assert Slots(home / "kept").read() in texts[-2:]
        Slots(home / "kept").write(b"the next one")
        assert Slots(home / "kept").read() == b"the next one"


def contents(home: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in home.iterdir()}


def test_a_writing_that_fails_takes_nothing_with_it(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "kept")
    slots.write(b"one")
    (tmp_path / "kept.0").mkdir()  # where the next one goes
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            slots.write(b"two")
        assert Slots(tmp_path / "kept").read() == b"one"
    (tmp_path / "kept.0").rmdir()
    slots.write(b"three")
    assert Slots(tmp_path / "kept").read() == b"three"


def test_what_many_threads_put_is_all_kept(tmp_path: Path) -> None:
    memories = Memories(tmp_path / "memories")

    def one(number: int) -> None:
        memories.put(f"web-{number}", Memory(f"{number:064x}"))
        memories.keep()
        kept = Memories(tmp_path / "memories").of(f"web-{number}")
        found[number] = kept.proven == f"{number:064x}"

    found: dict[int, bool] = {}
    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(16), True)


def test_memories_are_written_once_for_many_and_not_at_all_for_none(tmp_path: Path) -> None:
    memories = Memories(tmp_path / "memories")
    memories.keep()
    assert list(tmp_path.iterdir()) == []
    assert [memories.put(name, Memory("a" * 64)) for name in ("web-0", "web-1", "web-0")] == [True, True, False]
    memories.keep()
    memories.keep()
    assert [file.name for file in tmp_path.iterdir()] == ["memories.1"]
    assert set(json.loads(Slots(tmp_path / "memories").read() or b"")) == {"web-0", "web-1"}
