"""A fenced VM ends at its lease's deadline, whoever of its watchers is killed or stopped: real processes."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from schema.errors import CommandFailed
from schema.tests.processes import is_running, state_of, wait_gone
from worker.records import Records
from worker.tests.vmm.subjects import a_folder
from worker.tests.vmm.test_shim import until
from worker.vmm.fence import boottime_ns
from worker.vmm.processes import Ended, Live, ask, find, start_shim, wait_ended
from worker.vmm.runtime_dir import RuntimeDir

SLEEPER = ("/bin/sh", "-c", "sleep 300 & exec sleep 301", "sh")
LATE_SECONDS = 10.0
"""How late an end may come: a lease's margin, after which the VM may run elsewhere."""
START_SECONDS = 5.0
"""A lease under which a VM is started that is not to outlive it, on two busy cores."""
LONG_SECONDS = 600.0


def in_ns(seconds: float) -> int:
    return boottime_ns() + int(seconds * 1e9)


class Fenced:
    """A runtime directory below a worker's state, and the lease of that worker."""

    def __init__(self, folder: Path) -> None:
        self.records = Records(folder)
        self.directory = RuntimeDir(folder / "vm")
        self.lives: list[Live] = []

    def lease(self, seconds: float) -> int:
        deadline = in_ns(seconds)
        self.records.keep_lease(deadline)
        return deadline

    async def start(self) -> Live:
        lease = self.records.lease_file
        live = await start_shim(self.directory, command=SLEEPER, log_bytes=1 << 16, lease=lease)
        self.lives.append(live)
        return live

    def end(self) -> None:
        """Nothing of it is left when this returns: a shim writes to its directory until it ends."""
        for live in self.lives:
            if is_running(live.pid):
                os.killpg(live.pid, signal.SIGKILL)
            if live.shim_pid is not None and is_running(live.shim_pid):
                os.kill(live.shim_pid, signal.SIGCONT)
                wait_gone(live.shim_pid)

    def guards(self, live: Live) -> list[int]:
        """The processes beside the shim that watch the same VM."""
        children = Path(f"/proc/{live.shim_pid}/task/{live.shim_pid}/children").read_text().split()
        return [int(pid) for pid in children if int(pid) != live.pid and is_running(int(pid))]


@contextmanager
def a_fenced() -> Iterator[Fenced]:
    with a_folder() as folder:
        fenced = Fenced(folder)
        try:
            yield fenced
        finally:
            fenced.end()


def ended_in_time(live: Live, deadline_ns: int) -> None:
    """Not before its deadline, and not long after it."""
    while is_running(live.pid):
        assert boottime_ns() < deadline_ns + LATE_SECONDS * 1e9, "it still runs"
        time.sleep(0.005)
    assert boottime_ns() >= deadline_ns


async def passed(deadline_ns: int) -> None:
    """Some time after that."""
    await trio.sleep((deadline_ns - boottime_ns()) / 1e9 + 0.5)


async def test_it_ends_with_all_it_started_when_the_deadline_passes_and_says_why() -> None:
    with a_fenced() as fenced:
        fenced.lease(LONG_SECONDS)
        live = await fenced.start()
        assert live.is_fenced
        deadline = fenced.lease(0.5)
        ended_in_time(live, deadline)
        ended = await wait_ended(fenced.directory, live)
        assert ended.by_fence and str(ended) == "ended, as the worker's lease had run out"
        assert find(fenced.directory) == ended


async def test_a_renewed_lease_keeps_it_and_a_withdrawn_one_ends_it_soon() -> None:
    with a_fenced() as fenced:
        first = fenced.lease(START_SECONDS)
        live = await fenced.start()
        fenced.lease(LONG_SECONDS)
        await passed(first)
        assert isinstance(find(fenced.directory), Live)
        ended_in_time(live, fenced.lease(0))


async def test_a_lease_file_that_is_gone_or_unreadable_leaves_the_last_deadline_in_force() -> None:
    with ExitStack() as stack:
        began: list[tuple[Live, int]] = []
        for damaged in (None, "{", "[]"):  # at once: each takes as long as its lease
            fenced = stack.enter_context(a_fenced())
            deadline = fenced.lease(START_SECONDS)
            began.append((await fenced.start(), deadline))
            fenced.records.lease_file.unlink()
            if damaged is not None:
                fenced.records.lease_file.write_text(damaged)
        for live, deadline in began:
            ended_in_time(live, deadline)


async def test_nothing_starts_under_a_lease_that_is_over_missing_or_of_another_boot() -> None:
    with a_fenced() as fenced:
        with pytest.raises(CommandFailed, match="lease of this worker has run out"):
            await fenced.start()
        fenced.lease(0)
        with pytest.raises(CommandFailed, match="lease of this worker has run out"):
            await fenced.start()
        fenced.lease(60)
        text = fenced.records.lease_file.read_text()
        fenced.records.lease_file.write_text(text.replace('"bootId": "', '"bootId": "another'))
        with pytest.raises(CommandFailed, match="lease of this worker has run out"):
            await fenced.start()
        assert find(fenced.directory) is None
        assert fenced.records.kept_lease() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_it_ends_in_time_although_its_shim_is_killed_or_stopped(number: signal.Signals) -> None:
    with a_fenced() as fenced:
        fenced.lease(LONG_SECONDS)
        live = await fenced.start()
        assert live.shim_pid is not None
        os.kill(live.shim_pid, number)
        deadline = fenced.lease(1.0)
        ended_in_time(live, deadline)
        assert not isinstance(find(fenced.directory), Live)
        if number is signal.SIGSTOP:
            os.kill(live.shim_pid, signal.SIGCONT)
            assert (await wait_ended(fenced.directory, live)).by_fence


async def test_a_vm_whose_shim_was_killed_still_lives_by_the_renewed_lease() -> None:
    with a_fenced() as fenced:
        first = fenced.lease(START_SECONDS)
        live = await fenced.start()
        assert live.shim_pid is not None
        os.kill(live.shim_pid, signal.SIGKILL)
        fenced.lease(LONG_SECONDS)
        await passed(first)
        assert isinstance(find(fenced.directory), Live)
        ended_in_time(live, fenced.lease(0.5))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_it_ends_in_time_although_its_guard_is_killed_or_stopped(number: signal.Signals) -> None:
    with a_fenced() as fenced:
        fenced.lease(LONG_SECONDS)
        live = await fenced.start()
        (guard,) = fenced.guards(live)
        os.kill(guard, number)
        if number is signal.SIGKILL:
            await until(lambda: fenced.guards(live) not in ([], [guard]))
        deadline = fenced.lease(1.0)
        ended_in_time(live, deadline)
        await wait_ended(fenced.directory, live)
        assert live.shim_pid is not None
        wait_gone(live.shim_pid)
        assert state_of(guard) == "X", "no guard is left behind"


async def test_a_running_vm_can_be_put_under_a_lease_and_taken_out_again() -> None:
    with a_fenced() as fenced:
        live = await start_shim(fenced.directory, command=SLEEPER, log_bytes=1 << 16)
        fenced.lives.append(live)
        assert not live.is_fenced and fenced.guards(live) == []
        fenced.lease(60)
        await ask(fenced.directory, {"op": "fence", "lease": str(fenced.records.lease_file)})
        found = find(fenced.directory)
        assert isinstance(found, Live) and found.is_fenced and len(fenced.guards(live)) == 1
        await ask(fenced.directory, {"op": "fence", "lease": "-"})
        assert fenced.guards(live) == []
        deadline = fenced.lease(0.3)
        await trio.sleep(0.6)
        assert isinstance(find(fenced.directory), Live)
        await ask(fenced.directory, {"op": "fence", "lease": str(fenced.records.lease_file)})
        ended_in_time(live, deadline)
        assert isinstance(await wait_ended(fenced.directory, live), Ended)
