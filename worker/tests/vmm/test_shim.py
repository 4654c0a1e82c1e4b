"""The shim and the processes' adapter on real processes: start, adoption, logs, exits, ends."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from schema.errors import CommandFailed, Internal, InvalidInput, Unavailable
from schema.tests.processes import wait_gone
from worker.tests.vmm.subjects import COMMANDS, PATIENCE, a_config, a_folder, create_and_boot
from worker.vmm.client import CloudHypervisor
from worker.vmm.config import VmConfig
from worker.vmm.port import VmAction
from worker.vmm.processes import Ended, Live, ask, attach_serial, end, find, find_live, start_shim, wait_ended
from worker.vmm.runtime_dir import BootRecord, RuntimeDir, read_boot_record, read_log, write_boot_record
from worker.vmm.shim_files import RingLog
from worker.vmm.shims import Shims

FAKE = COMMANDS["fake"]
LOG_BYTES = 1 << 16


@contextmanager
def a_runtime_dir() -> Iterator[RuntimeDir]:
    """A runtime directory; whatever still lives in it at the end is killed."""
    with a_folder() as folder:
        directory = RuntimeDir(folder / "vm")
        try:
            yield directory
        finally:
            found = find(directory)
            if isinstance(found, Live):
                os.killpg(found.pid, signal.SIGKILL)
                if found.shim_pid is not None:
                    wait_gone(found.shim_pid)


def shims_in(directory: RuntimeDir) -> list[int]:
    """The shims of a directory, by their words in `ps`."""
    words = f"procurator-shim\0{directory.path}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if entry.read_bytes().startswith(words):
                found.append(int(entry.parent.name))
    return found


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def failure_of(start: Callable[[], Awaitable[object]]) -> None:
    """Begin what must not succeed."""
    with pytest.raises(Unavailable, match="ended before it had started"):
        await start()


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not true():  # noqa: ASYNC110 - another process makes it true
            await trio.sleep(0.01)


def log_holds(directory: RuntimeDir, word: str) -> bool:
    return word.encode() in read_log(directory.serial_log, max_bytes=99)


async def ready(directory: RuntimeDir, client: CloudHypervisor) -> None:
    with trio.fail_after(PATIENCE):
        while True:
            try:
                await client.ping()
                return
            except Unavailable:
                await trio.sleep(0.01)


def a_vm(directory: RuntimeDir, *, cmdline: str = "console=ttyS0") -> VmConfig:
    """A VM whose serial socket is where the shim looks for it."""
    return replace(a_config(directory.path, cmdline=cmdline), serial_socket=str(directory.serial_socket))


def shell(script: str) -> tuple[str, ...]:
    """A stand-in for a hypervisor; the shim's `--api-socket` lands in its arguments."""
    return ("/bin/sh", "-c", script, "sh")


def told_to_end(directory: RuntimeDir, script: str) -> tuple[str, ...]:
    """One that runs `script` to its end once it `may_end`: one that has ended before it is looked at never started."""
    return shell(f"while [ ! -e {directory.path}/may-end ]; do sleep 0.02; done; {script}")


def may_end(directory: RuntimeDir) -> None:
    (directory.path / "may-end").touch()


async def test_shim_and_hypervisor_have_sessions_of_their_own_and_no_tie_to_us() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        assert live.shim_pid is not None
        assert os.getsid(live.shim_pid) == live.shim_pid
        assert os.getsid(live.pid) == live.pid
        assert Path(f"/proc/{live.shim_pid}/cwd").readlink() == Path("/")
        parent = Path(f"/proc/{live.shim_pid}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) != os.getpid()


async def test_sockets_and_directory_are_private() -> None:
    with a_runtime_dir() as directory:
        await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(directory.control_socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.process_record.stat().st_mode) == 0o600


async def test_a_living_vm_is_found_by_pid_start_time_and_socket() -> None:
    with a_runtime_dir() as directory:
        started = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        async with CloudHypervisor(str(directory.api_socket)) as client:
            await ready(directory, client)
            assert find_live(directory) == started
            assert (await client.ping()).pid == started.pid


async def test_another_process_with_the_recorded_pid_is_not_the_vm() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        record = json.loads(directory.process_record.read_text())
        for change in ({"startTime": live.start_time + 1}, {"bootId": "another"}, {"pid": 2**22 + 1}):
            directory.process_record.write_text(json.dumps(record | change))
            assert find(directory) == Ended(code=None, signal=None, at=live.started_at)
            assert find_live(directory) is None
        directory.process_record.write_text(json.dumps(record))
        assert find(directory) == live


@pytest.mark.parametrize("record", ["", "{", "[]", '{"pid": "x"}', "\0"])
async def test_an_unreadable_record_is_no_vm(record: str) -> None:
    with a_folder() as folder:
        (folder / "process.json").write_text(record)
        assert find(RuntimeDir(folder)) is None


async def test_exit_codes_and_signals_are_kept_on_disk() -> None:
    for script, expected in (("exit 7", (7, None)), ("kill -9 $$", (None, 9)), ("exit 0", (0, None))):
        with a_runtime_dir() as directory:
            live = await start_shim(directory, command=told_to_end(directory, script), log_bytes=LOG_BYTES)
            may_end(directory)
            ended = await wait_ended(directory, live)
            assert (ended.code, ended.signal) == expected
            assert find(directory) == ended
            assert ended.at >= live.started_at
            assert live.shim_pid is not None
            wait_gone(live.shim_pid)
            assert not directory.control_socket.exists()


async def test_an_end_is_known_although_its_shim_takes_seconds_to_record_it() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=shell("exec sleep 300"), log_bytes=LOG_BYTES)
        assert live.shim_pid is not None
        os.kill(live.shim_pid, signal.SIGSTOP)  # as good as a machine that is busy with others
        os.killpg(live.pid, signal.SIGKILL)

        async def go_on(shim: int) -> None:
            await trio.sleep(2.5)
            os.kill(shim, signal.SIGCONT)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go_on, live.shim_pid)
            assert (await wait_ended(directory, live)).signal == signal.SIGKILL
        wait_gone(live.shim_pid)


async def test_what_the_hypervisor_says_is_kept_and_capped() -> None:
    script = "yes 0123456789abcdef | head -c 1000000; echo LAST >&2"
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=told_to_end(directory, script), log_bytes=LOG_BYTES)
        may_end(directory)
        await wait_ended(directory, live)
        log = read_log(directory.hypervisor_log, max_bytes=10**6)
        assert log.endswith(b"LAST\n")
        assert len(log) <= 262_144


async def test_a_program_that_cannot_be_started_is_told_at_once() -> None:
    with a_runtime_dir() as directory:
        with pytest.raises(CommandFailed, match=r"cannot start /nowhere/at/all: .*No such file"):
            await start_shim(directory, command=["/nowhere/at/all"], log_bytes=LOG_BYTES)
        assert find(directory) is None


async def test_a_shim_that_is_killed_before_it_has_recorded_its_hypervisor_leaves_none_behind() -> None:
    with a_runtime_dir() as directory:
        directory.path.mkdir()
        record = directory.path / ".process.json.new"
        os.mkfifo(record)  # who writes to it waits until somebody reads
        async with Shims() as shims, trio.open_nursery() as nursery:
            begun = partial(start_shim, directory, command=shell("echo ran; sleep 300"), log_bytes=LOG_BYTES)
            nursery.start_soon(failure_of, partial(begun, shims=shims))
            await until(lambda: any(map(children_of, shims_in(directory))))
            shim, child = next((shim, child) for shim in shims_in(directory) for child in children_of(shim))
            os.kill(shim, signal.SIGKILL)
            wait_gone(shim)
            wait_gone(child)
        assert find(directory) is None
        assert read_log(directory.hypervisor_log, max_bytes=99) == b""
        record.unlink()
        again = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        assert find(directory) == again


async def test_a_second_shim_in_the_same_directory_is_refused_and_harms_nothing() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        with pytest.raises(CommandFailed, match="already holds") as refused:
            await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        assert refused.value.returncode == 3
        assert find(directory) == live


async def test_a_vm_whose_shim_was_killed_runs_on_is_found_and_can_be_ended() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        assert live.shim_pid is not None
        async with CloudHypervisor(str(directory.api_socket)) as client:
            await ready(directory, client)
            os.kill(live.shim_pid, signal.SIGKILL)
            wait_gone(live.shim_pid)
            orphan = find_live(directory)
            assert orphan is not None
            assert (orphan.pid, orphan.shim_pid) == (live.pid, None)
            with pytest.raises(CommandFailed, match="still runs"):
                await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
            await client.ping()
            with pytest.raises(Unavailable):
                await ask(directory, {"op": "status"})
        ended = await end(directory, orphan, grace_seconds=PATIENCE)
        assert (ended.code, ended.signal) == (None, None)


async def test_ending_is_asked_first_and_forced_after_the_grace() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        async with CloudHypervisor(str(directory.api_socket)) as client:
            await ready(directory, client)
        assert (await end(directory, live, grace_seconds=PATIENCE)).code == 0
    with a_runtime_dir() as directory:
        stubborn = shell("trap '' TERM; echo deaf; while :; do sleep 0.05; done")
        live = await start_shim(directory, command=stubborn, log_bytes=LOG_BYTES)
        await until(lambda: b"deaf" in read_log(directory.hypervisor_log, max_bytes=99))
        assert (await end(directory, live, grace_seconds=0.2)).signal == signal.SIGKILL


async def test_the_whole_session_goes_with_the_hypervisor() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=told_to_end(directory, "sleep 300 & echo $!"), log_bytes=LOG_BYTES)
        may_end(directory)
        await wait_ended(directory, live)
        left = int(read_log(directory.hypervisor_log, max_bytes=99))
        wait_gone(left)


async def test_control_socket_kills_and_answers_nonsense_with_an_error() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        for nonsense in (b"{\n", b"[]\n", b'{"op": "dance"}\n', b'{"op": "kill", "signal": "HUP"}\n', b'"op"\n'):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(str(directory.control_socket))
                connection.sendall(nonsense)
                assert json.loads(connection.recv(4096))["ok"] is False
        with pytest.raises(Internal, match="refused dance"):
            await ask(directory, {"op": "dance"})
        status = await ask(directory, {"op": "status"})
        assert isinstance(status["status"], dict)
        assert status["status"]["pid"] == live.pid
        await ask(directory, {"op": "kill"})
        assert (await wait_ended(directory, live)).signal == signal.SIGKILL


async def test_a_flood_on_the_control_socket_costs_only_its_own_connection() -> None:
    with a_runtime_dir() as directory:
        await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        with socket.socket(socket.AF_UNIX) as flood:
            flood.settimeout(PATIENCE)
            flood.connect(str(directory.control_socket))
            with pytest.raises(OSError, match=r"."):
                for _ in range(1000):
                    flood.sendall(b"x" * 4096)
        held = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for connection in held:
            connection.connect(str(directory.control_socket))
        for connection in held:
            connection.close()
        await trio.sleep(0.05)
        assert (await ask(directory, {"op": "status"}))["ok"] is True


async def test_serial_output_is_kept_from_the_first_byte_and_across_boots() -> None:
    with a_runtime_dir() as directory:
        await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        async with CloudHypervisor(str(directory.api_socket)) as client:
            await ready(directory, client)
            for word in ("first", "second"):
                config = a_vm(directory, cmdline=f"fake.says={word}")
                await client.create(config)
                await attach_serial(directory)
                await client.act(VmAction.BOOT)
                await until(partial(log_holds, directory, word))
                await client.act(VmAction.SHUTDOWN)
                await client.act(VmAction.DELETE)
        assert read_log(directory.serial_log, max_bytes=99) == b"first\r\nsecond\r\n"


async def test_stale_sockets_of_a_killed_run_are_cleared_before_the_next() -> None:
    with a_runtime_dir() as directory:
        for _ in range(2):
            live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
            async with CloudHypervisor(str(directory.api_socket)) as client:
                await ready(directory, client)
                await create_and_boot(client, a_vm(directory))
            os.killpg(live.pid, signal.SIGKILL)
            await wait_ended(directory, live)
            assert live.shim_pid is not None
            wait_gone(live.shim_pid)
            assert directory.serial_socket.exists()


async def test_term_to_the_shim_ends_its_vm_and_is_recorded() -> None:
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        async with CloudHypervisor(str(directory.api_socket)) as client:
            await ready(directory, client)
        assert live.shim_pid is not None
        os.kill(live.shim_pid, signal.SIGTERM)
        assert (await wait_ended(directory, live)).code == 0


async def test_a_worker_that_is_killed_leaves_its_vms_running() -> None:
    with a_runtime_dir() as directory:
        worker = f"""
import os, signal, trio
from pathlib import Path
from worker.vmm.processes import start_shim
from worker.vmm.runtime_dir import RuntimeDir
trio.run(lambda: start_shim(RuntimeDir(Path({str(directory.path)!r})), command={list(FAKE)!r}, log_bytes=4096))
os.killpg(0, signal.SIGKILL)
"""
        done = await trio.to_thread.run_sync(
            lambda: subprocess.run(
                [sys.executable, "-c", worker], start_new_session=True, timeout=PATIENCE, check=False
            )
        )
        assert done.returncode == -signal.SIGKILL
        async with CloudHypervisor(str(directory.api_socket)) as client:
            await ready(directory, client)
        found = find_live(directory)
        assert found is not None
        assert found.shim_pid is not None
        await end(directory, found, grace_seconds=PATIENCE)


def test_ring_log_keeps_the_newest_within_its_cap(tmp_path: Path) -> None:
    log = RingLog(str(tmp_path / "log"), 100)
    for number in range(100):
        log.write(b"%02d-------\n" % number)
    kept = read_log(tmp_path / "log", max_bytes=1000)
    assert 50 <= len(kept) <= 100
    assert kept.endswith(b"98-------\n99-------\n")
    again = RingLog(str(tmp_path / "log"), 100)
    again.write(b"x" * 1000)
    assert read_log(tmp_path / "log", max_bytes=1000) == b"x" * 100
    assert read_log(tmp_path / "log", max_bytes=60) == b"x" * 60
    assert read_log(tmp_path / "none", max_bytes=60) == b""


def test_boot_record_is_whole_or_absent(tmp_path: Path) -> None:
    directory = RuntimeDir(tmp_path)
    assert read_boot_record(directory) is None
    write_boot_record(directory, BootRecord(booted="a", active="a"))
    write_boot_record(directory, BootRecord(booted="a", active="b"))
    assert read_boot_record(directory) == BootRecord(booted="a", active="b", layers=("a",))
    (tmp_path / "booted.json").write_text('{"booted": "a"')
    assert read_boot_record(directory) is None


@pytest.mark.parametrize("path", ["relative", "/" + "x" * 100])
def test_a_runtime_dir_must_be_absolute_and_short_enough_for_sockets(path: str) -> None:
    with pytest.raises(InvalidInput):
        RuntimeDir(Path(path))
