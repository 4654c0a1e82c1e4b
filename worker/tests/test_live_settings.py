"""Settings that change while the worker runs, and those that do not."""

from pathlib import Path

import pytest

from schema.errors import InvalidInput, NotFound
from worker.live_settings import CHANGEABLE, LiveSettings
from worker.settings import Settings


def live(tmp_path: Path) -> tuple[LiveSettings, list[Settings]]:
    applied: list[Settings] = []
    plain = {
        "name": "w-0",
        "state": str(tmp_path),
        "control_plane": {"socket": "/run/cp.sock", "public_keys": ["cp-1:AAAA"]},
        "publishers": {"public_keys": ["ci-1:AAAA"]},
        "caches": {"public_keys": ["ci-1:AAAA"]},
    }
    return LiveSettings(Settings.model_validate(plain), applied.append), applied


def test_a_change_is_in_force_and_answers_the_old_value(tmp_path: Path) -> None:
    settings, applied = live(tmp_path)
    assert settings.change("limits.parallel_pulls", "7") == "4"
    assert settings.change("limits.parallel_pulls", "2") == "7"
    assert [one.limits.parallel_pulls for one in applied] == [7, 2]
    assert settings.shown()["limits.parallel_pulls"] == "2"


def test_every_changeable_setting_is_one(tmp_path: Path) -> None:
    assert set(live(tmp_path)[0].shown()) >= CHANGEABLE


@pytest.mark.parametrize("value", ["many", "-1", "", "1e9", "7.5"])
def test_a_wrong_value_changes_nothing_and_is_named(tmp_path: Path, value: str) -> None:
    settings, applied = live(tmp_path)
    with pytest.raises(InvalidInput, match=r"limits.parallel_pulls"):
        settings.change("limits.parallel_pulls", value)
    assert applied == []


def test_what_decides_whom_to_believe_is_a_matter_of_the_file(tmp_path: Path) -> None:
    settings, _ = live(tmp_path)
    with pytest.raises(InvalidInput, match="set it in its file"):
        settings.change("name", "other")
    with pytest.raises(NotFound):
        settings.change("limits.nothing", "1")
