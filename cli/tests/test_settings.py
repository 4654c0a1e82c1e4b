from pathlib import Path

import pytest

from cli.settings import DEFAULT_CI, Options, find_target, state_dir
from schema.errors import InvalidInput, NotFound


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "PROCURATOR_STATE": str(tmp_path / "state"), **more}


def test_without_a_word_the_local_cluster_is_meant(tmp_path: Path) -> None:
    target = find_target(Options(), environ=env(tmp_path))
    assert target.address == f"unix:{tmp_path}/state/run/control-plane.sock"
    assert (target.token_file, target.ci_url) == (None, DEFAULT_CI)


def test_the_local_ci_says_where_it_listens(tmp_path: Path) -> None:
    ready = tmp_path / "state" / "run" / "ci.json"
    ready.parent.mkdir(parents=True)
    ready.write_text('{"pid": 1, "addresses": {"http": "127.0.0.1:17403"}}')
    assert find_target(Options(), environ=env(tmp_path)).ci_url == "http://127.0.0.1:17403"
    ready.write_text("{}")
    with pytest.raises(InvalidInput, match="--ci URL"):
        find_target(Options(), environ=env(tmp_path))


def test_an_option_comes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config" / "procurator" / "cli.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[control_plane]\naddress = "file:1"\ntoken_file = "/t"\n[ci]\nurl = "http://file:2"\n')
    target = find_target(Options(), environ=env(tmp_path))
    assert (target.address, target.ci_url, target.token_file) == ("file:1", "http://file:2", Path("/t"))
    variable = {"PROCURATOR_CLI__CONTROL_PLANE__ADDRESS": "variable:1"}
    assert find_target(Options(), environ=env(tmp_path, **variable)).address == "variable:1"
    assert find_target(Options(connect="option:1"), environ=env(tmp_path, **variable)).address == "option:1"


def test_a_file_that_was_named_must_be_there_and_right(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="--config"):
        find_target(Options(config=tmp_path / "none.toml"), environ=env(tmp_path))
    (tmp_path / "wrong.toml").write_text('[control_plane]\nadress = "x:1"\n')
    with pytest.raises(InvalidInput, match=r"did you mean control_plane\.address"):
        find_target(Options(config=tmp_path / "wrong.toml"), environ=env(tmp_path))


def test_the_state_directory_is_that_of_pcr_up() -> None:
    assert state_dir({"PROCURATOR_STATE": "/a"}) == Path("/a")
    assert state_dir({"XDG_STATE_HOME": "/b"}) == Path("/b/procurator")
    assert state_dir({}) == Path.home() / ".local" / "state" / "procurator"


def test_another_machine_is_reached_by_tls_or_where_plaintext_is_said(tmp_path: Path) -> None:
    file = tmp_path / "cli.toml"
    file.write_text('[control_plane]\naddress = "cp.example:7400"\nca = "/ca"\nserver_name = "cp"\nplaintext = true\n')
    found = find_target(Options(config=file), environ=env(tmp_path))
    assert (found.ca, found.server_name, found.plaintext) == (Path("/ca"), "cp", True)
    assert find_target(Options(config=file, ca=Path("/other")), environ=env(tmp_path)).ca == Path("/other")
    assert find_target(Options(ca=Path("/ca")), environ=env(tmp_path)).ca is None, (
        "the local cluster's is a unix socket"
    )
