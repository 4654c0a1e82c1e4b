"""What is kept on disk comes back, and what is damaged counts as absent."""

from pathlib import Path

from schema.assignment import SignedAssignment
from worker.records import Records
from worker.tests.builders import a_content, an_attachment
from worker.vm_state import GivenUp, Memory


def test_the_signed_assignment_comes_back_byte_for_byte(tmp_path: Path) -> None:
    signed = SignedAssignment(b'{"a":\xff}', "key:c2ln")
    Records(tmp_path).keep_assignment(signed)
    assert Records(tmp_path).kept_assignment() == signed


def test_memory_and_what_was_booted_come_back(tmp_path: Path) -> None:
    memory = Memory("a" * 64, GivenUp((3, "b" * 64), "port 80 is closed"))
    records = Records(tmp_path)
    records.keep_memory("web-0", memory)
    records.keep_booted("web-0", a_content(3), an_attachment())
    assert Records(tmp_path).memory("web-0") == memory
    assert Records(tmp_path).booted("web-0") == ((a_content(3),), an_attachment())
    records.forget("web-0")
    assert records.memory("web-0") == Memory()
    assert records.booted("web-0") is None


def test_damaged_records_count_as_absent(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for damaged in (b"", b"{", b'{"data":"%%","signature":""}', b"\x00" * 100):
        (tmp_path / "assignment.json").write_bytes(damaged)
        assert records.kept_assignment() is None
        (tmp_path / "memory").mkdir(exist_ok=True)
        (tmp_path / "memory/web-0.json").write_bytes(damaged)
        assert records.memory("web-0") == Memory()
