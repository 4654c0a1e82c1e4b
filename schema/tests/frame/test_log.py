"""What a log line looks like."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from schema.log import LogFormat, escape_controls, set_up_logging


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(log_format: LogFormat, message: str, *, error: Exception | None = None, **facts: object) -> str:
    stream = io.StringIO()
    set_up_logging(log_format=log_format, stream=stream)
    logging.getLogger("some.place").warning(message, extra=facts, exc_info=error)
    return stream.getvalue()


def test_a_readable_line_has_time_level_place_message_and_facts() -> None:
    line = logged("text", "pushed", build=3)
    assert line.endswith("Z WARNING some.place: pushed build=3\n")


def test_control_characters_do_not_reach_the_terminal() -> None:
    line = logged("text", "\x1b]0;owned\x07 \x9b31m\nfaked line \u202e", name_of="\x1b[2J")
    assert line.count("\n") == 1
    assert not any(ord(character) < 32 for character in line[:-1])
    assert "\x9b" not in line
    assert "\u202e" not in line
    assert r"\x1b]0;owned\x07" in line


def test_json_is_one_object_a_line_with_the_trace_inside() -> None:
    try:
        raise ValueError("no\nway")
    except ValueError as error:
        line = logged("json", "failed\nbadly", error=error, build=3)
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert entry["message"] == "failed\nbadly"
    assert (entry["level"], entry["logger"], entry["build"]) == ("warning", "some.place", 3)
    assert "ValueError: no\nway" in entry["trace"]


def test_a_trace_is_indented_below_its_line() -> None:
    try:
        raise ValueError("\x1b[31mred")
    except ValueError as error:
        text = logged("text", "failed", error=error)
    assert "\n    ValueError: \\x1b[31mred\n" in text


def test_newlines_stay_where_they_are_asked_for() -> None:
    assert escape_controls("a\n\tb\r", keep_newlines=True) == "a\n\tb\\r"
    assert escape_controls("a\n\tb") == "a\\n\\tb"
