"""The console log is read across the turn of its ring."""

import os
from pathlib import Path

from worker.vm_log import LogReader, last_lines


def a_log(folder: Path) -> Path:
    return folder / "serial.log"


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


def turn_over(log: Path) -> None:
    log.replace(log.with_name("serial.log.1"))
    fd = os.open(log, os.O_CREAT | os.O_WRONLY)
    os.close(fd)


def test_the_last_lines_are_counted_from_the_end() -> None:
    text = b"one\ntwo\nthree"
    assert [last_lines(text, count) for count in (0, 1, 2, 3, 9)] == [text, b"three", b"two\nthree", text, text]
    assert last_lines(b"one\ntwo\n", 1) == b"two\n"
    assert last_lines(b"", 3) == b""


def test_what_comes_is_read_once_and_in_order_across_turns(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    reader = LogReader(log)
    assert reader.kept() == b""
    append(log, b"a")
    assert (reader.more(), reader.more()) == (b"a", b"")
    append(log, b"b")
    turn_over(log)
    append(log, b"c")
    assert reader.more() == b"bc"
    append(log, b"d")
    assert reader.more() == b"d"


def test_all_that_is_kept_is_both_files(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    append(log, b"old ")
    turn_over(log)
    append(log, b"new")
    reader = LogReader(log)
    assert reader.kept() == b"old new"
    assert reader.more() == b""


def test_what_was_overwritten_twice_is_lost_and_the_rest_is_read(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    append(log, b"the first")
    reader = LogReader(log)
    reader.kept()
    turn_over(log)
    append(log, b"second")
    turn_over(log)
    append(log, b"third")
    assert reader.more() == b"third"
