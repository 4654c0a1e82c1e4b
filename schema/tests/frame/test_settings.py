"""What `schema.settings.load` takes, refuses and says."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from schema.errors import InvalidInput, NotFound
from schema.settings import Loaded, Section, ServiceSettings, load


class Http(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=7401, ge=0, le=65535)


class Socket(Section):
    roles: dict[str, str] = {}


class Keys(Section):
    pinned: tuple[str, ...] = ()


class Settings(ServiceSettings):
    name: str
    database: str = "sqlite:///here"
    token: SecretStr | None = None
    http: Http = Http()
    socket: Socket = Socket()
    keys: Keys = Keys()


def a_file(directory: Path, text: str) -> Path:
    path = directory / "some.toml"
    path.write_text(text)
    return path


def loaded(path: Path | None, **environ: str) -> Loaded[Settings]:
    return load(Settings, service="control-plane", path=path, environ=environ, default=Path("/nonexistent/x.toml"))


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    path = a_file(tmp_path, 'name = "a"\n[http]\nport = 1\n')
    result = loaded(path, PROCURATOR_CONTROL_PLANE__HTTP__HOST="::1")
    assert result.settings.http == Http(host="::1", port=1)
    assert result.path == path
    assert result.origins["name"] == result.origins["http.port"] == f"file {path}"
    assert result.origins["http.host"] == "environment PROCURATOR_CONTROL_PLANE__HTTP__HOST"
    assert result.origins["database"] == "default"


def test_the_environment_wins_over_the_file_and_reads_lists_and_tables(tmp_path: Path) -> None:
    path = a_file(tmp_path, 'name = "a"\n[http]\nport = 1\n[socket]\nroles = { 5 = "viewer" }\n')
    result = loaded(
        path,
        PROCURATOR_CONTROL_PLANE__HTTP__PORT="2",
        PROCURATOR_CONTROL_PLANE__KEYS__PINNED='["a", "b"]',
        PROCURATOR_CONTROL_PLANE__SOCKET__ROLES__1000="operator",
        PROCURATOR_CONTROL_PLANE__NAME="[not a list]",
    )
    assert result.settings.http.port == 2
    assert result.settings.keys.pinned == ("a", "b")
    assert result.settings.socket.roles == {"5": "viewer", "1000": "operator"}
    assert result.settings.name == "[not a list]"


def test_a_missing_file_is_answered_with_every_way_to_give_one() -> None:
    with pytest.raises(NotFound) as caught:
        loaded(None)
    for way in ("--config", "PROCURATOR_CONTROL_PLANE_CONFIG", "/nonexistent/x.toml", "PROCURATOR_CONTROL_PLANE__"):
        assert way in caught.value.message


def test_a_named_file_must_exist_even_when_the_environment_would_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.toml does not exist"):
        loaded(tmp_path / "gone.toml", PROCURATOR_CONTROL_PLANE__NAME="a")
    with pytest.raises(NotFound, match=r"gone\.toml does not exist"):
        loaded(None, PROCURATOR_CONTROL_PLANE__NAME="a", PROCURATOR_CONTROL_PLANE_CONFIG=str(tmp_path / "gone.toml"))


def test_the_environment_alone_is_enough() -> None:
    result = loaded(None, PROCURATOR_CONTROL_PLANE__NAME="a")
    assert result.settings.name == "a"
    assert result.path is None


def test_an_unknown_key_is_refused_with_its_full_path_and_a_guess(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        loaded(a_file(tmp_path, 'name = "a"\n[http]\nprot = 1\n'))
    assert "http.prot: unknown key; did you mean http.port?" in caught.value.message
    with pytest.raises(InvalidInput, match=r"http\.prot: unknown key.*environment PROCURATOR_\w+__HTTP__PROT"):
        loaded(None, PROCURATOR_CONTROL_PLANE__NAME="a", PROCURATOR_CONTROL_PLANE__HTTP__PROT="1")


def test_all_that_is_wrong_is_named_at_once_with_key_value_and_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        loaded(a_file(tmp_path, '[http]\nport = 70000\nhost = ["x"]\n'))
    message = caught.value.message
    assert "name: is needed and has no default (or set PROCURATOR_CONTROL_PLANE__NAME)" in message
    assert "http.port = '70000': Input should be less than or equal to 65535" in message
    assert "http.host" in message


def test_what_is_not_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"some\.toml is not TOML: .*line 1"):
        loaded(a_file(tmp_path, "name = \n"))


def test_a_variable_cannot_reach_inside_a_single_value(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="single value"):
        loaded(a_file(tmp_path, 'name = "a"'), PROCURATOR_CONTROL_PLANE__NAME__X="1")


def test_printed_settings_show_no_secret(tmp_path: Path) -> None:
    path = a_file(tmp_path, 'name = "a"\ntoken = "hush"\ndatabase = "postgresql://me:hush@db/x"\n')
    text = "\n".join(loaded(path).lines())
    assert "hush" not in text
    assert f"database = postgresql://me:(hidden)@db/x  # file {path}" in text
    assert "http.port = 7401  # default" in text


def test_wrong_values_of_secrets_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        loaded(a_file(tmp_path, 'name = ["postgresql://me:hush@db/x"]'))
    assert "hush" not in caught.value.message
