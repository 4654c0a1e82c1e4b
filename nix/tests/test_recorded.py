"""The parsers on what nix 2.8, 2.26 and 2.34 printed, as `record.py` wrote it down: the same values out of each."""

import json
from typing import Any

import pytest

from nix import result
from nix.log import BuildLine, BuildStarted, LogDecoder, Problem
from nix.tests.record import RECORDED, UNKNOWN
from schema.errors import Internal

VERSIONS = {file.stem: json.loads(file.read_text()) for file in sorted(RECORDED.glob("*.json"))}
GOOD = "/nix/store/dsaayn8gc0gzh9z9ykpc8hcjghwgcj66-good"


@pytest.fixture(params=sorted(VERSIONS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def printed(version: str, command: str) -> bytes:
    entry: dict[str, Any] = VERSIONS[version][command]
    assert entry["code"] == 0, entry["stderr"]
    return str(entry["stdout"]).encode()


def events(version: str, command: str) -> list[object]:
    decoder = LogDecoder()
    found = (decoder.feed(line) for line in VERSIONS[version][command]["stderr"].splitlines())
    return [event for event in found if event is not None]


def test_there_are_recordings_of_the_oldest_and_the_newer_versions() -> None:
    assert {name.rpartition(".")[0] for name in VERSIONS} >= {"2.8", "2.26", "2.34"}


def test_the_version_is_read(version: str) -> None:
    assert ".".join(map(str, result.parse_version(printed(version, "version")))) == version


def test_derivations_and_outputs_are_the_same_in_every_version(version: str) -> None:
    made = result.parse_instantiated(printed(version, "instantiate"))
    assert made.out == GOOD
    assert made.drv == "/nix/store/h9jaf5bp1i890m9196bfhqav40qxk4dp-good.drv"
    assert result.parse_realised(printed(version, "realise")) == (GOOD,)


@pytest.mark.parametrize("command", ["path-info", "path-info-chroot"])
def test_what_is_registered_of_a_closure_is_the_same_in_every_version(version: str, command: str) -> None:
    found = result.parse_path_info(printed(version, command))
    good, (dependency,) = found[GOOD], set(found) - {GOOD}
    assert good is not None
    assert (good.references, good.signatures, good.content_address) == ((dependency,), (), None)
    assert good.nar_hash.startswith("sha256-")
    first = result.parse_path_info(printed(min(VERSIONS), command))[GOOD]
    assert first is not None
    assert (good.nar_size, good.nar_hash) == (first.nar_size, first.nar_hash)
    text = found[dependency]
    assert text is not None
    assert (text.content_address or "").startswith("text:sha256:")


def test_an_unknown_path_is_none_in_every_version(version: str) -> None:
    assert result.parse_path_info(printed(version, "path-info-unknown")) == {UNKNOWN: None}


def test_metadata_tells_the_revision(version: str) -> None:
    found = result.parse_flake_metadata(printed(version, "metadata"))
    assert found.rev == VERSIONS[version]["revision"]
    assert found.last_modified is not None
    assert found.nar_hash is not None


def test_names_and_values(version: str) -> None:
    assert result.parse_names(printed(version, "names")) == ("one", "two")
    assert result.parse_json(printed(version, "eval")) == {"schemaVersion": 1, "cluster": "c", "vms": {}}


def test_the_log_of_a_build_is_read(version: str) -> None:
    drv = result.parse_instantiated(printed(version, "instantiate")).drv
    found = events(version, "build")
    assert BuildStarted(drv) in found
    assert BuildLine(drv, "building") in found


def test_a_failed_build_names_its_derivation_and_shows_its_lines(version: str) -> None:
    entry = VERSIONS[version]["build-fails"]
    found = events(version, "build-fails")
    problems = [event.text for event in found if isinstance(event, Problem)]
    (drv,) = result.failed_derivations("\n".join(problems))
    assert drv.endswith("-bad.drv")
    assert [event.text for event in found if isinstance(event, BuildLine)] == ["before", "to-stderr"]
    assert entry["code"] == 1


@pytest.mark.parametrize(
    ("command", "words"), [("eval-fails", "what its author threw"), ("eval-misses", "does not provide attribute")]
)
def test_a_failed_evaluation_says_why_and_prints_nothing_that_could_be_believed(
    version: str, command: str, words: str
) -> None:
    entry = VERSIONS[version][command]
    assert entry["code"] == 1
    assert any(words in event.text for event in events(version, command) if isinstance(event, Problem))
    with pytest.raises(Internal):  # 2.8 has printed a part of it by then
        result.parse_json(entry["stdout"].encode())


def test_what_was_collected_is_counted(version: str) -> None:
    entry = VERSIONS[version]["gc"]
    assert result.parse_collected((entry["stdout"] + entry["stderr"]).encode()) == 2
