"""What `pcr up` writes before it starts anything, and that every service's own loader takes it."""

import importlib
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.up.cluster import executables
from cli.up.layout import Files, StateDir
from cli.up.plan import Choices, Program, programs
from cli.up.prepare import prepare
from schema.errors import Conflict, InvalidInput
from schema.settings import Loaded, ServiceSettings, load
from schema.signing import PublicKey, SecretKey

SETTINGS = {
    "procurator-control-plane": "control_plane.settings.Settings",
    "procurator-cache": "ci_service.cache.settings.Settings",
    "procurator-ci": "ci_service.settings.Settings",
    "procurator-repohub": "repohub.settings.Settings",
    "procurator-worker": "worker.settings.Settings",
}


NOW = datetime(2026, 11, 21, tzinfo=UTC)


def prepared(
    root: Path,
    *,
    workers: int = 1,
    port_offset: int | None = None,
    now: datetime = NOW,
    user_network: bool = False,
) -> tuple[StateDir, Choices]:
    state = StateDir.at(root)
    choices = prepare(
        state,
        workers=workers,
        port_offset=port_offset,
        executables=executables(),
        allowed_paths=(Path("/some/parts"),),
        now=now,
        user_network=user_network,
    )
    return state, choices


def loaded(program: Program) -> Loaded[ServiceSettings]:
    module, _, name = SETTINGS[program.executable].rpartition(".")
    model: type[ServiceSettings] = getattr(importlib.import_module(module), name)
    service = program.executable.removeprefix("procurator-")
    return load(model, service=service, path=program.settings, environ={})


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_service_takes_the_settings_written_for_it() -> None:
    with tempfile.TemporaryDirectory() as short:  # unix sockets' addresses leave a state directory little room
        state, _ = prepared(Path(short) / "s", workers=2, port_offset=100)
        for program in programs(state, workers=2):
            settings = loaded(program)
            assert settings.settings.runtime.ready_file == state.ready(program.name)
            assert settings.path == program.settings


def test_files_are_private_and_all_that_the_settings_name_are_there(tmp_path: Path) -> None:
    state, _ = prepared(tmp_path / "s")
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o711, "hypervisors' own users pass through it"
    for path in state.root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    named = {"keys/ci", "keys/ci.pub", "keys/control-plane", "keys/control-plane.pub"}
    named |= {"tls/ca.key", "tls/ca.crt", "tls/control-plane.key", "tls/control-plane.crt"}
    named |= {"tokens/cache-upload", "tokens/ci-hook"}
    named |= {f"etc/{name}.toml" for name in ("up", "ci", "cache", "control-plane", "repohub", "worker-0")}
    assert set(contents(state.root)) == named


def test_no_settings_file_holds_a_secret(tmp_path: Path) -> None:
    state, _ = prepared(tmp_path / "s")
    kept = (*state.tokens.iterdir(), state.keys / "ci", Files(state.tls).key, Files(state.tls).ca_key)
    secrets = [path.read_text().strip() for path in kept]
    for path in state.etc.iterdir():
        assert not any(secret in path.read_text() for secret in secrets)


def test_public_halves_match_and_are_pinned(tmp_path: Path) -> None:
    state, _ = prepared(tmp_path / "s")
    for name, pinned_by in (("ci", ("cache", "worker-0", "control-plane")), ("control-plane", ("worker-0",))):
        secret = SecretKey.parse((state.keys / name).read_text())
        public = (state.keys / f"{name}.pub").read_text().strip()
        assert PublicKey.parse(public) == secret.public
        for service in pinned_by:
            assert public in state.settings(service).read_text()


def test_preparing_again_changes_nothing_and_a_missing_file_is_made_again(tmp_path: Path) -> None:
    state, choices = prepared(tmp_path / "s")
    before = contents(state.root)
    state.settings("ci").unlink()
    again, choices_again = prepared(tmp_path / "s", workers=1)
    assert (contents(again.root), choices_again) == (before, choices)


def test_another_offset_than_the_directorys_is_a_conflict(tmp_path: Path) -> None:
    prepared(tmp_path / "s", port_offset=100)
    assert prepared(tmp_path / "s")[1].port_offset == 100
    with pytest.raises(Conflict, match="made with --port-offset 100, not 0"):
        prepared(tmp_path / "s", port_offset=0)


def test_a_directory_that_was_made_with_taps_is_not_taken_for_one_without(tmp_path: Path) -> None:
    state, _ = prepared(tmp_path / "s")
    with pytest.raises(Conflict, match="made without --user-network"):
        prepared(tmp_path / "s", user_network=True)
    text = state.settings("worker-0").read_text()
    state.settings("worker-0").write_text(text.replace("[hypervisor]", "[hypervisor]\nuser_mode_network = true"))
    prepared(tmp_path / "s", user_network=True)
    prepared(tmp_path / "other", user_network=True)
    prepared(tmp_path / "other", user_network=True)
    prepared(tmp_path / "other")


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    state, _ = prepared(tmp_path / "s")
    (state.keys / "ci").chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        prepared(tmp_path / "s")


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--state"):
        StateDir.at(tmp_path / ("x" * 100))
    with pytest.raises(InvalidInput, match="absolute"):
        StateDir.at(Path("here"))


def test_a_damaged_choice_is_told_with_the_way_out(tmp_path: Path) -> None:
    state, _ = prepared(tmp_path / "s")
    state.choices.write_text("network_range = 3\n")
    with pytest.raises(InvalidInput, match="begin afresh"):
        prepared(tmp_path / "s")


def test_a_state_directory_that_cannot_be_made_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=f"{tmp_path}/file: File exists"):
        prepared(tmp_path / "file")
    with pytest.raises(InvalidInput, match="Not a directory"):
        prepared(tmp_path / "file" / "state")
