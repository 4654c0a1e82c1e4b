"""The decoder on recorded lines."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from nix.log import (
    BuildLine,
    BuildPhase,
    BuildStarted,
    BuildStopped,
    CopyStarted,
    Event,
    LogDecoder,
    Message,
    Problem,
    readable,
)

DRV = "/nix/store/" + "d" * 32 + "-web.drv"


def line(**entry: object) -> str:
    return "@nix " + json.dumps(entry)


def decode(*lines: str) -> list[Event]:
    decoder = LogDecoder()
    return [event for text in lines if (event := decoder.feed(text)) is not None]


def test_a_build_from_start_to_stop() -> None:
    events = decode(
        line(action="start", id=1, level=0, type=104, text=""),
        line(action="start", id=7, level=3, type=105, text=f"building '{DRV}'", fields=[DRV, "", 1, 1]),
        line(action="result", id=7, type=101, fields=["compiling"]),
        line(action="result", id=7, type=104, fields=["installPhase"]),
        line(action="result", id=1, type=105, fields=[0, 1, 1, 0]),
        line(action="stop", id=7),
        line(action="stop", id=1),
    )
    assert events == [
        BuildStarted(DRV),
        BuildLine(DRV, "compiling"),
        BuildPhase(DRV, "installPhase"),
        BuildStopped(DRV),
    ]
    assert [readable(event) for event in events] == [f"building {DRV}", "web> compiling", None, None]


def test_errors_come_without_their_colours() -> None:
    assert decode(line(action="msg", level=0, msg="\x1b[31;1merror:\x1b[0m no", raw_msg="no")) == [Problem("error: no")]


def test_warnings_are_kept_and_chatter_is_not() -> None:
    assert decode(
        line(action="msg", level=1, msg="warning: old"),
        line(action="msg", level=3, msg="these derivations will be built:"),
        line(action="msg", level=1, msg="\x1b[35;1mwarning:\x1b[0m you don't have Internet access; disabling"),
        line(action="start", id=3, level=3, type=100, text="", fields=[DRV, "a", "b"]),
    ) == [Message("warning: old"), CopyStarted(DRV)]


def test_what_a_builder_prints_cannot_lead_a_terminal() -> None:
    events = decode(
        line(action="start", id=7, type=105, fields=[DRV]),
        line(action="result", id=7, type=101, fields=["\x1b]0;owned\x07\x1b[2Jhello\x08\r"]),
    )
    assert events[1] == BuildLine(DRV, "hello")


def test_lines_that_are_not_nix_s_are_messages() -> None:
    assert decode("fatal: not a repository", "@nix {broken", "@nix 3", "") == [
        Message("fatal: not a repository"),
        Message("@nix {broken"),
        Message("@nix 3"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "action": st.sampled_from(["start", "stop", "result", "msg", "x"]) | JSON,
                "type": st.sampled_from([100, 101, 104, 105]) | JSON,
                "id": st.integers(0, 3) | JSON,
                "fields": st.lists(JSON, max_size=3) | JSON,
                "level": st.integers(0, 7) | JSON,
                "msg": JSON,
            },
        ),
        max_size=8,
    )
)
def test_no_line_breaks_the_decoder(entries: list[dict[str, object]]) -> None:
    for event in decode(*(line(**entry) for entry in entries)):
        readable(event)


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_decoder(text: str) -> None:
    decode(text, "@nix " + text)
