"""Shims from one spawner, on real processes: what they inherit, and what is left when either side dies."""

import errno
import json
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from schema.tests.processes import wait_gone
from worker.tests.vmm.subjects import COMMANDS, PATIENCE
from worker.tests.vmm.test_shim import LOG_BYTES, a_runtime_dir, children_of, ready, shims_in, until
from worker.vmm.client import CloudHypervisor
from worker.vmm.fence import boottime_ns
from worker.vmm.forked import SPARE
from worker.vmm.order import Order
from worker.vmm.processes import Live, ask, end, find, start_shim
from worker.vmm.programs import module_of
from worker.vmm.runtime_dir import read_log
from worker.vmm.shim_files import LOCK, hold, let_go
from worker.vmm.shims import Shims

FAKE = COMMANDS["fake"]


def parent_of(live: Live) -> int:
    """The spawner while it lives, then whoever takes its orphans."""
    assert live.shim_pid is not None
    return int(Path(f"/proc/{live.shim_pid}/stat").read_text().rpartition(")")[2].split()[1])


def open_files(pid: int) -> list[str]:
    entries = list(Path(f"/proc/{pid}/fd").iterdir())  # of our own, the listing's too, which is over now
    return [str(entry.readlink()) for entry in entries if entry.is_symlink()]


def arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def spares_of(spawner: int) -> list[int]:
    spares = []
    for pid in children_of(spawner):
        with suppress(FileNotFoundError, ProcessLookupError):  # it may have ended meanwhile
            if arguments(pid) == [SPARE]:
                spares.append(pid)
    return spares


async def stop_spawning(spawner: int) -> list[int]:
    """Stop a spawner and its spare shim, which would take the next order; whom SIGCONT lets go on."""
    with trio.fail_after(PATIENCE):
        while not (spares := spares_of(spawner)):  # noqa: ASYNC110
            await trio.sleep(0.01)
    stopped = [spawner, *spares]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    return stopped


async def test_a_python_hypervisor_of_ours_is_called_and_inherits_nothing_but_its_api() -> None:
    assert module_of(FAKE) == "worker.vmm.fake"
    with a_runtime_dir() as directory:
        live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES)
        async with CloudHypervisor(str(directory.api_socket)) as client:
            await ready(directory, client)
        held = open_files(live.pid)
        assert not [path for path in held if path.startswith(str(directory.path))], held
        assert sum(path.startswith("socket:") for path in held) <= 2, "the API, and the client that was just there"
        assert arguments(live.pid) == ["worker.vmm.fake", "--api-socket", "fd=3"]
        assert live.shim_pid is not None
        assert arguments(live.shim_pid) == ["procurator-shim", str(directory.path)]
        await end(directory, live, grace_seconds=PATIENCE)


async def test_any_other_program_is_executed_and_inherits_nothing_but_its_api() -> None:
    script = "import os, sys, time; print(*sys.argv[1:], *os.listdir('/proc/self/fd'), flush=True); time.sleep(600)"
    with a_runtime_dir() as directory:
        command = (sys.executable, "-c", script)
        assert module_of(command) == ""
        live = await start_shim(directory, command=command, log_bytes=LOG_BYTES)
        await until(lambda: b"\n" in read_log(directory.hypervisor_log, max_bytes=99))
        said = read_log(directory.hypervisor_log, max_bytes=99).decode().split()
        assert said[:2] == ["--api-socket", "fd=3"]
        assert sorted(said[2:]) == ["0", "1", "2", "3", "4"], "4 is the listing itself"
        await end(directory, live, grace_seconds=0)


async def test_spare_shims_go_with_whoever_would_order_them() -> None:
    with a_runtime_dir() as directory:
        async with Shims(modules=(module_of(FAKE),)) as shims:
            live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            spawner = parent_of(live)
            await until(lambda: bool(spares_of(spawner)))
            (spare,) = spares_of(spawner)
            await until(lambda: bool(children_of(spare)))
            (child,) = children_of(spare)
            os.kill(spawner, signal.SIGKILL)
            wait_gone(spare)
            wait_gone(child)
            await end(directory, live, grace_seconds=0)
            again = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            await until(lambda: bool(spares_of(parent_of(again))))
            (spare,) = spares_of(parent_of(again))
        wait_gone(spare)


async def test_a_spare_shim_that_was_killed_is_replaced() -> None:
    with a_runtime_dir() as first, a_runtime_dir() as second:
        async with Shims(modules=(module_of(FAKE),)) as shims:
            live = await start_shim(first, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            await until(lambda: bool(spares_of(parent_of(live))))
            (spare,) = spares_of(parent_of(live))
            os.kill(spare, signal.SIGKILL)
            wait_gone(spare)
            other = await start_shim(second, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            assert parent_of(other) == parent_of(live)


async def test_a_vm_is_as_old_as_its_start_and_not_as_the_process_that_waited_for_it() -> None:
    with a_runtime_dir() as directory:
        async with Shims(modules=(module_of(FAKE),)) as shims:
            await shims.load()
            await trio.sleep(0.5)
            asked_ns = boottime_ns()
            live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            assert asked_ns <= live.begun_ns <= boottime_ns()
            record = json.loads(directory.process_record.read_text())
            del record["begunNs"]  # as a shim of an earlier version has it
            directory.process_record.write_text(json.dumps(record))
            found = find(directory)
            assert isinstance(found, Live) and found.begun_ns <= live.begun_ns


async def test_a_spawner_that_was_killed_is_replaced_and_its_shims_go_on() -> None:
    with a_runtime_dir() as first, a_runtime_dir() as second:
        async with Shims(modules=(module_of(FAKE),)) as shims:
            live = await start_shim(first, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            killed = parent_of(live)
            os.kill(killed, signal.SIGKILL)
            wait_gone(killed)
            other = await start_shim(second, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            replaced = parent_of(other)
            assert replaced not in (killed, parent_of(live))
            assert (await ask(first, {"op": "status"}))["ok"] is True
        wait_gone(replaced)
        assert find(first) == live and find(second) == other, "they outlive the spawners"


async def test_a_spawner_that_does_not_end_by_itself_is_killed_and_its_shims_go_on() -> None:
    with a_runtime_dir() as directory:
        async with Shims(modules=(module_of(FAKE),)) as shims:
            live = await start_shim(directory, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            spawner = parent_of(live)
            await stop_spawning(spawner)
        wait_gone(spawner)
        assert find(directory) == live


async def test_a_spawner_that_cannot_be_started_fails_the_start_and_leaves_nothing_open() -> None:
    before = open_files(os.getpid())
    async with Shims(modules=["x" * 200_000]) as shims:  # more than the kernel takes as one argument
        await shims.load()
        with pytest.raises(OSError, match="too long") as raised:
            await shims.start(Order("/nowhere", command=["true"], log_bytes=1))
        assert raised.value.errno == errno.E2BIG
        assert not set(open_files(os.getpid())) - set(before)


async def test_a_start_that_was_cancelled_leaves_nothing() -> None:
    with a_runtime_dir() as first, a_runtime_dir() as second:
        async with Shims(modules=(module_of(FAKE),)) as shims:
            live = await start_shim(first, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            stopped = await stop_spawning(parent_of(live))
            with trio.move_on_after(0.2) as cancelled:
                await start_shim(second, command=FAKE, log_bytes=LOG_BYTES, shims=shims)
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            assert cancelled.cancelled_caught
            with a_runtime_dir() as third:
                await start_shim(third, command=FAKE, log_bytes=LOG_BYTES, shims=shims)  # its order came after
            await until(lambda: not shims_in(second))
            assert not second.path.exists()


async def test_a_start_that_was_cancelled_while_its_shim_looked_around_leaves_nothing() -> None:
    with a_runtime_dir() as directory:
        directory.path.mkdir()
        os.mkfifo(directory.process_record)  # who reads it waits until somebody writes
        async with Shims(modules=(module_of(FAKE),)) as shims:
            with trio.move_on_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(partial(start_shim, directory, command=FAKE, log_bytes=LOG_BYTES, shims=shims))
                    await until((directory.path / LOCK).exists)
                    nursery.cancel_scope.cancel()
            writer = os.open(directory.process_record, os.O_WRONLY)
            directory.process_record.unlink()
            os.close(writer)
            await until(lambda: not directory.path.exists())


def test_a_directory_that_was_given_up_is_nobody_elses_lock(tmp_path: Path) -> None:
    """Whoever waited for the lock of a file that is gone by then does not hold what another one makes anew."""
    place = str(tmp_path / "vm")
    first = hold(place)
    assert hold(place) == -1
    let_go(place)
    assert not Path(place).exists()
    second = hold(place)
    assert second >= 0
    assert hold(place) == -1
    for descriptor in (first, second):
        os.close(descriptor)


async def test_a_worker_that_is_killed_before_a_shim_was_forked_leaves_nothing_of_it() -> None:
    with a_runtime_dir() as first, a_runtime_dir() as second:
        worker = f"""
import os, signal, trio
from pathlib import Path
from worker.vmm.processes import find, start_shim
from worker.vmm.runtime_dir import RuntimeDir
from worker.vmm.shims import Shims
from worker.tests.vmm.test_spawner import stop_spawning

async def main():
    async with Shims() as shims, trio.open_nursery() as nursery:
        async def start(path):
            await start_shim(RuntimeDir(Path(path)), command={list(FAKE)!r}, log_bytes=4096, shims=shims)
        await start({str(first.path)!r})
        shim = find(RuntimeDir(Path({str(first.path)!r}))).shim_pid
        spawner = int(Path(f"/proc/{{shim}}/stat").read_text().rpartition(")")[2].split()[1])
        print(*await stop_spawning(spawner), flush=True)
        nursery.start_soon(start, {str(second.path)!r})
        await trio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)

trio.run(main)
"""
        done = await trio.run_process([sys.executable, "-c", worker], capture_stdout=True, check=False)
        assert done.returncode == -signal.SIGKILL
        stopped = [int(pid) for pid in done.stdout.split()]
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        for pid in stopped:
            wait_gone(pid)
        assert not second.path.exists()
        assert isinstance(find(first), Live)
