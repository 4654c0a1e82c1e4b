"""The runner against real processes."""

import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from nix.run import open_process, run
from schema.errors import CommandFailed, DeadlineExceeded, InvalidInput, NotFound, TooLarge
from schema.tests.processes import is_running, until_ended

ENV: dict[str, str] = {}

STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(600)
time.sleep(600)
"""
"""A child whose own child ignores SIGTERM and holds its pipes."""


async def test_both_outputs_and_the_exit_code_come_back() -> None:
    done = await run(["sh", "-c", "echo out; echo err >&2; exit 3"], deadline=60, env=ENV, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


async def test_a_failure_carries_argv_place_code_and_outputs(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        await run(["sh", "-c", "echo half; echo broken >&2; exit 7"], deadline=60, env=ENV, cwd=tmp_path)
    error = caught.value
    assert error.returncode == 7
    assert (error.stdout, error.stderr, error.cwd) == (b"half\n", b"broken\n", str(tmp_path))
    assert "exited with 7: broken" in str(error)


async def test_the_environment_is_what_was_given_and_path() -> None:
    os.environ["PROCURATOR_LEAK"] = "1"
    try:
        done = await run(["env"], deadline=60, env={"ONE": "1"})
    finally:
        del os.environ["PROCURATOR_LEAK"]
    names = {line.partition("=")[0] for line in done.stdout.decode().splitlines()}
    assert names == {"PATH", "ONE"}


async def test_stdin_is_fed_and_is_empty_by_default() -> None:
    assert (await run(["cat"], deadline=60, env=ENV, stdin=b"x" * 300_000)).stdout == b"x" * 300_000
    assert (await run(["cat"], deadline=60, env=ENV)).stdout == b""


async def test_a_program_that_does_not_read_its_stdin_is_no_error() -> None:
    assert (await run(["true"], deadline=60, env=ENV, stdin=b"x" * 3_000_000)).returncode == 0


async def test_stderr_lines_arrive_while_it_runs(tmp_path: Path) -> None:
    lines: list[str] = []
    heard = tmp_path / "heard"

    def hear(line: str) -> None:
        lines.append(line)
        heard.touch()

    script = f"echo one >&2; while [ ! -e {heard} ]; do sleep 0.02; done; printf two >&2"
    await run(["sh", "-c", script], deadline=60, env=ENV, on_stderr_line=hear)
    assert lines == ["one", "two"]


async def test_a_deadline_ends_the_whole_group_even_one_that_ignores_sigterm(tmp_path: Path) -> None:
    script = STUBBORN.replace("print(os.getpid(), flush=True)", "open(sys.argv[1], 'w').write(str(os.getpid()))")
    with pytest.raises(DeadlineExceeded, match="within 4 s"):
        await run([sys.executable, "-c", script, str(tmp_path / "pid")], deadline=4, env=ENV)
    await until_ended(int((tmp_path / "pid").read_text()))


async def test_cancelling_ends_the_whole_group() -> None:
    pids: list[int] = []
    with trio.move_on_after(60) as scope:
        async with open_process([sys.executable, "-c", STUBBORN], env=ENV, grace=0.3) as process:
            assert process.stdout is not None
            pids = [process.pid, int(await process.stdout.receive_some())]
            assert all(is_running(pid) for pid in pids)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    await until_ended(*pids)


async def test_what_a_finished_command_left_in_the_background_is_ended_too() -> None:
    done = await run(["sh", "-c", "sleep 600 & echo $!"], deadline=60, env=ENV)
    await until_ended(int(done.stdout))


async def test_a_child_that_left_the_group_does_not_hold_the_runner(tmp_path: Path) -> None:
    done = await run(["sh", "-c", "setsid sleep 600 & echo $!; sleep 0.2"], deadline=60, env=ENV)
    os.kill(int(done.stdout), signal.SIGKILL)  # it ran on


async def test_what_is_started_is_a_child_of_the_thread_that_lives_as_long_as_we_do() -> None:
    async with open_process(["sleep", "600"], env=ENV) as process:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        assert str(process.pid) in children, "the end of a thread of trio's would end what dies with its parent"


ORPHANS = """
import sys, trio
from nix.run import run
async def both():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run(["sh", "-c", "echo $$ > one; exec sleep 600"], deadline=900, env={}))
        two = ["sh", "-c", "echo $$ > two; exec sleep 90"]
        nursery.start_soon(lambda: run(two, deadline=90, env={}, with_us=False))
trio.run(both)
"""


async def test_a_command_dies_with_a_process_that_is_killed(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    async with open_process([sys.executable, "-c", ORPHANS], env={"PYTHONPATH": root}, cwd=tmp_path) as parent:
        with trio.fail_after(60):
            pids = [await written(tmp_path / name) for name in ("one", "two")]
            os.kill(parent.pid, signal.SIGKILL)
            while is_running(pids[0]):  # noqa: ASYNC110 - it is nobody's child any more
                await trio.sleep(0.01)
        assert is_running(pids[1]), "what was asked to end by itself does"
    os.kill(pids[1], signal.SIGKILL)


async def written(path: Path) -> int:
    while not path.exists() or not path.read_text().endswith("\n"):  # noqa: ASYNC110 - another process writes it
        await trio.sleep(0.01)
    return int(path.read_text())


async def test_too_much_output_ends_it() -> None:
    with pytest.raises(TooLarge, match="stdout"):
        await run(["yes"], deadline=60, env=ENV, max_output=100_000)
    with pytest.raises(TooLarge, match="stderr"):
        await run(["sh", "-c", "yes >&2"], deadline=60, env=ENV, max_output=100_000)


async def test_a_missing_program_and_an_impossible_argv_are_typed(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such-program"):
        await run(["no-such-program"], deadline=60, env=ENV)
    with pytest.raises(NotFound, match="gone"):
        await run(["true"], deadline=60, env=ENV, cwd=tmp_path / "gone")
    with pytest.raises(InvalidInput):
        await run(["echo", "a\0b"], deadline=60, env=ENV)
    with pytest.raises(InvalidInput):
        await run([], deadline=60, env=ENV)


async def test_a_signal_is_a_negative_exit_code() -> None:
    done = await run(["sh", "-c", "kill -KILL $$"], deadline=60, env=ENV, check=False)
    assert done.returncode == -signal.SIGKILL


async def test_a_process_streams_both_ways() -> None:
    async with open_process(["cat"], env=ENV) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (b"one", b"two"):
            await process.stdin.send_all(text)
            assert await process.stdout.receive_some() == text
        await process.stdin.aclose()
        assert await process.wait() == 0
