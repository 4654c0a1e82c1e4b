"""The frame, run as a real process: readiness, signals, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from schema.service import EXIT_BUG, EXIT_FAILED, EXIT_SETTINGS

ROOT = Path(__file__).resolve().parents[3]


def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "schema.tests.frame.sample_service", *arguments],
        cwd=ROOT,
        env={**os.environ, "PROCURATOR_SAMPLE__BEHAVIOUR": "serve", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(*arguments: str, **environ: str) -> tuple[int, str, str]:
    process = start(*arguments, **environ)
    output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


def wait_ready(path: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    for _ in range(600):
        if path.exists():
            ready: dict[str, Any] = json.loads(path.read_text())
            return ready
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("never ready")


def test_it_says_when_and_where_it_listens_and_stops_cleanly_when_told(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = start(PROCURATOR_SAMPLE__RUNTIME__READY_FILE=str(ready))
    told = wait_ready(ready, process)
    assert told["pid"] == process.pid
    with urllib.request.urlopen(f"http://{told['addresses']['http']}/hello", timeout=30) as answer:
        assert answer.read() == b"/hello"
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "cleaning up\n")
    assert "sample stops: SIGTERM" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]


def test_a_second_signal_does_not_wait_for_the_cleanup(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = start(PROCURATOR_SAMPLE__RUNTIME__READY_FILE=str(ready), PROCURATOR_SAMPLE__BEHAVIOUR="slow-end")
    wait_ready(ready, process)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "cleaning up\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_closed_terminal_stops_it_cleanly_however_often_it_is_said(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = start(PROCURATOR_SAMPLE__RUNTIME__READY_FILE=str(ready), PROCURATOR_SAMPLE__BEHAVIOUR="slow-end")
    wait_ready(ready, process)
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    assert process.stdout.readline() == "cleaning up\n"
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


def test_under_nohup_a_closed_terminal_is_nothing(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(PROCURATOR_SAMPLE__RUNTIME__READY_FILE=str(ready))
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_ready(ready, process)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "cleaning up\n")
    assert "SIGHUP" not in errors


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [
        ("expected-failure", EXIT_FAILED, r"sample ends: the disk\x1b[31m is full"),
        ("bug", EXIT_BUG, "ZeroDivisionError"),
        ("return", 0, ""),
    ],
)
def test_the_exit_code_tells_how_it_ended(behaviour: str, code: int, said: str) -> None:
    returncode, _, errors = finished(PROCURATOR_SAMPLE__BEHAVIOUR=behaviour)
    assert returncode == code
    assert said in errors
    assert ("Traceback" in errors) == (behaviour == "bug")


def test_wrong_settings_are_named_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("prot = 1\n")
    returncode, _, errors = finished("--config", str(path))
    assert returncode == EXIT_SETTINGS
    assert "prot: unknown key; did you mean port?" in errors


def test_print_config_shows_values_and_origins(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("port = 5\n")
    returncode, output, _ = finished("--config", str(path), "--print-config")
    assert returncode == 0
    assert f"port = 5  # file {path}\n" in output
    assert "behaviour = serve  # environment PROCURATOR_SAMPLE__BEHAVIOUR\n" in output


def test_logs_are_json_objects_when_asked() -> None:
    _, _, errors = finished("--log-format", "json", PROCURATOR_SAMPLE__BEHAVIOUR="bug")
    assert "ZeroDivisionError" in json.loads(errors)["trace"]


def test_a_flag_can_make_it_do_something_else_instead() -> None:
    returncode, output, _ = finished("--tidy-up", PROCURATOR_SAMPLE__PORT="7")
    assert (returncode, output) == (0, "tidied 7\n")
    assert "--tidy-up" in finished("--help")[1]
