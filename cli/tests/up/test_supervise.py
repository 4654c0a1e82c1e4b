"""The supervisor over real processes: small programs stand in for the services."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from cli.up.backoff import delay, is_hopeless, next_failures
from cli.up.layout import StateDir
from cli.up.plan import Program
from cli.up.processes import ProcessId, identify, is_alive, own_process, stop, with_arguments
from cli.up.record import read_record
from cli.up.supervise import Supervisor, processes_of, stop_all
from schema.errors import Unavailable
from schema.service import causes

SERVICE = """#!{python} -S
import json, os, signal, sys, time
settings = json.load(open(sys.argv[2]))
if "exit" in settings:
    print("no \\x1b[31mway", flush=True)
    sys.exit(settings["exit"])
path = settings["ready"]
if settings.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(path + ".new", "w").write(json.dumps({{"pid": os.getpid(), "addresses": {{"http": settings["http"]}}}}))
os.rename(path + ".new", path)
while True:
    time.sleep(60)
"""


def a_state(root: Path, **services: dict[str, object]) -> tuple[StateDir, tuple[Program, ...]]:
    state = StateDir.at(root)
    for directory in (state.etc, state.logs, state.run):
        directory.mkdir(exist_ok=True)
    program = root / "procurator-fake"
    program.write_text(SERVICE.format(python=sys.executable))
    program.chmod(0o755)
    for name, settings in services.items():
        told = {"ready": str(state.ready(name)), "http": f"{name}:1", **settings}
        state.settings(name).write_text(json.dumps(told))
    return state, tuple(Program(name, "procurator-fake", state.settings(name)) for name in services)


def a_supervisor(state: StateDir, programs: tuple[Program, ...], said: list[str]) -> Supervisor:
    return Supervisor(
        state=state,
        programs=programs,
        executables=state.root,
        env=dict(os.environ),
        own=own_process(),
        say=said.append,
    )


@asynccontextmanager
async def supervising(
    state: StateDir, programs: tuple[Program, ...], said: list[str] | None = None
) -> AsyncIterator[dict[str, dict[str, str]]]:
    supervisor = a_supervisor(state, programs, said if said is not None else [])
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(supervisor.run))
            nursery.cancel_scope.cancel()


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not true():  # noqa: ASYNC110 - what other processes do sets no event of ours
            await trio.sleep(0.01)


def pid_of(state: StateDir, name: str) -> ProcessId:
    return read_record(state.record).services[name].process


async def test_all_services_run_until_the_end_and_say_where(tmp_path: Path) -> None:
    state, programs = a_state(tmp_path, a={}, b={})
    async with supervising(state, programs) as addresses:
        assert addresses == {"a": {"http": "a:1"}, "b": {"http": "b:1"}}
        record = read_record(state.record)
        assert record.supervisor == own_process()
        processes = {service.process for service in record.services.values()}
        assert processes_of(state, programs) == processes
        assert all(is_alive(process) for process in processes)
        assert all(os.getsid(process.pid) == process.pid for process in processes)
    assert not any(is_alive(process) for process in processes)
    assert read_record(state.record).services == {}


async def test_a_killed_service_is_started_again(tmp_path: Path) -> None:
    state, programs = a_state(tmp_path, a={}, b={})
    said: list[str] = []
    async with supervising(state, programs, said):
        first, other = pid_of(state, "a"), pid_of(state, "b")
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: "a" in read_record(state.record).services and pid_of(state, "a") != first)
        assert is_alive(pid_of(state, "a"))
        assert pid_of(state, "b") == other
    assert said[0].startswith("a ended with -9; starting it again in 0.2 s")


async def test_what_a_killed_supervisor_left_is_taken_over(tmp_path: Path) -> None:
    state, programs = a_state(tmp_path, a={}, b={})
    earlier = a_supervisor(state, programs, [])
    for program in programs:
        earlier.start(program)  # as `pcr up` does, and then nothing more: kill -9
    before = {name: pid_of(state, name) for name in ("a", "b")}
    state.settings("b").write_text(json.dumps({**json.loads(state.settings("b").read_text()), "http": "b:2"}))
    later = a_supervisor(state, programs, [])
    await stop_all(processes_of(state, programs) - {service.process for service in later.adoptable().values()})
    async with supervising(state, programs) as addresses:
        assert addresses == {"a": {"http": "a:1"}, "b": {"http": "b:2"}}
        assert pid_of(state, "a") == before["a"]
        assert pid_of(state, "b") != before["b"]
    assert not is_alive(before["a"])


async def test_a_service_whose_certificate_is_another_is_not_taken_over(tmp_path: Path) -> None:
    state, programs = a_state(tmp_path, a={}, b={})
    certificate = tmp_path / "a.crt"
    certificate.write_text("old")
    programs = (replace(programs[0], reads=(certificate,)), programs[1])
    earlier = a_supervisor(state, programs, [])
    for program in programs:
        earlier.start(program)
    assert set(a_supervisor(state, programs, []).adoptable()) == {"a", "b"}
    certificate.write_text("renewed")
    assert set(a_supervisor(state, programs, []).adoptable()) == {"b"}
    await stop_all(processes_of(state, programs))


async def test_a_service_is_restarted_on_request_and_no_other(tmp_path: Path) -> None:
    state, programs = a_state(tmp_path, a={}, b={})
    supervisor = a_supervisor(state, programs, [])
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(supervisor.run))
            first, other = pid_of(state, "a"), pid_of(state, "b")
            await supervisor.restart("a")
            assert not is_alive(first)
            await until(lambda: "a" in read_record(state.record).services and pid_of(state, "a") != first)
            assert pid_of(state, "b") == other
            nursery.cancel_scope.cancel()


async def test_a_process_without_a_record_is_found_by_its_settings(tmp_path: Path) -> None:
    state, programs = a_state(tmp_path, a={})
    recorded = a_supervisor(state, programs, []).start(programs[0])
    state.record.unlink()
    await until(lambda: processes_of(state, programs) == {recorded.process})  # it becomes the program in a moment
    await stop_all(processes_of(state, programs))
    assert not is_alive(recorded.process)


@pytest.mark.parametrize("code", [1, 2])
async def test_a_service_that_cannot_start_ends_it_with_its_own_words(tmp_path: Path, code: int) -> None:
    state, programs = a_state(tmp_path, a={}, b={"exit": code})
    with pytest.raises(BaseExceptionGroup) as caught:
        async with supervising(state, programs):
            raise AssertionError
    (error,) = causes(caught.value)
    assert isinstance(error, Unavailable)
    assert "b does not start" in error.message
    assert "no \\x1b[31mway" in error.message
    assert processes_of(state, programs) == set()


async def test_a_service_that_ignores_the_signal_is_killed_with_its_group(tmp_path: Path) -> None:
    state, programs = a_state(tmp_path, a={"stubborn": True})
    recorded = a_supervisor(state, programs, []).start(programs[0])
    await until(state.ready("a").exists)
    await stop(recorded.process, grace=0.2)
    assert not is_alive(recorded.process)
    await stop(recorded.process)


def test_a_process_is_its_pid_with_its_start_time() -> None:
    own = own_process()
    assert identify(own.pid) == own
    assert not is_alive(own.model_copy(update={"started": own.started - 1}))
    assert not is_alive(own.model_copy(update={"boot": "another"}))
    assert identify(2**22 + 1) is None
    assert own not in with_arguments(set(sys.argv))


def test_only_what_never_listened_or_has_wrong_settings_is_given_up() -> None:
    assert is_hopeless(2, failures=1, has_listened=True)
    assert is_hopeless(1, failures=3, has_listened=False)
    assert not is_hopeless(1, failures=2, has_listened=False)
    assert not is_hopeless(70, failures=100, has_listened=True)


def test_waiting_grows_and_a_steady_run_forgives() -> None:
    assert [delay(failures) for failures in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert delay(1000) == 30.0
    assert next_failures(7, ran_seconds=1) == 8
    assert next_failures(7, ran_seconds=61) == 1
