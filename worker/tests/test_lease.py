"""The worker's lease: what an answer grants, and what the loop makes of it."""

from pathlib import Path

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from schema.status import VmPhase
from worker.lease import NS_PER_MS, Lease, is_worth_keeping, renewed
from worker.records import Records
from worker.tests.builders import a_content, a_desired, a_spec
from worker.tests.test_supervise import Fleet, a_fleet, boottime_ns

SINGLETON = a_desired(content=a_content(spec=a_spec(singleton=True)))


def test_the_deadline_counts_from_when_the_report_was_begun() -> None:
    lease = renewed(Lease(), sent_ns=100 * NS_PER_MS, lease_ms=40, now_ns=130 * NS_PER_MS)
    assert lease == Lease(140 * NS_PER_MS)
    assert lease.left_seconds(130 * NS_PER_MS) == 0.01


def test_an_answer_that_comes_after_its_deadline_grants_nothing() -> None:
    assert renewed(Lease(), sent_ns=0, lease_ms=40, now_ns=50 * NS_PER_MS).left_seconds(50 * NS_PER_MS) < 0


def test_no_lease_ends_the_one_there_is_at_once() -> None:
    assert renewed(Lease(10**9), sent_ns=5, lease_ms=0, now_ns=7) == Lease(7)
    assert renewed(Lease(5), sent_ns=5, lease_ms=0, now_ns=7) == Lease(5)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50)), min_size=1))
def test_answers_in_any_order_come_to_the_same_lease(answers: list[tuple[int, int]]) -> None:
    def after(order: list[tuple[int, int]]) -> Lease:
        lease = Lease()
        for sent, lasts in order:
            lease = renewed(lease, sent_ns=sent, lease_ms=lasts, now_ns=1000)
        return lease

    assert after(answers) == after(answers[::-1]) == Lease(max(sent + lasts * NS_PER_MS for sent, lasts in answers))


async def renew(fleet: Fleet, *, seconds: float) -> None:
    fleet.supervisor.renew(sent_ns=boottime_ns(), lease_ms=int(seconds * 1000))
    await trio.sleep(0.01)
    await wait_all_tasks_blocked()


async def test_the_loop_boots_under_a_lease_ends_without_one_and_starts_again_under_the_next(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_fleet(tmp_path) as fleet:
        fleet.assign(SINGLETON)
        await trio.sleep(30)
        assert fleet.steps.kinds() == ["update", "pull", "prepare"]
        await renew(fleet, seconds=40)
        await trio.sleep(10)
        assert fleet.phase() is VmPhase.HEALTHY
        await renew(fleet, seconds=40)
        ends = trio.current_time() + 40
        await trio.sleep(60)
        assert ends <= fleet.steps.times("stop")[0] <= ends + 1.1
        assert fleet.phase() is VmPhase.WAITING
        await renew(fleet, seconds=40)
        await trio.sleep(10)
        assert fleet.phase() is VmPhase.HEALTHY
        await renew(fleet, seconds=0)
        await trio.sleep(2)
        assert fleet.phase() is VmPhase.WAITING, "the control plane gives no lease any more"


async def test_renewals_make_no_news(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path) as fleet:
        await renew(fleet, seconds=40)
        news = fleet.supervisor.news()
        await renew(fleet, seconds=50)
        assert not news.is_set(), "a renewal that told news would be answered by the next renewal"


async def test_what_the_shims_go_by_is_written_before_it_counts_and_read_at_start(tmp_path: Path) -> None:
    records, deadline = Records(tmp_path), boottime_ns() + 10**12
    assert records.kept_lease() == 0
    records.keep_lease(deadline)
    async with a_fleet(tmp_path) as fleet:
        assert fleet.supervisor.lease == Lease(deadline)
        records.lease_file.unlink()
        records.lease_file.mkdir()
        await renew(fleet, seconds=10**4)
        assert fleet.supervisor.lease == Lease(deadline), "what cannot be written does not count"
        records.lease_file.rmdir()
        await renew(fleet, seconds=10**4)
        assert fleet.supervisor.lease == Lease(records.kept_lease()) > Lease(deadline)


async def test_a_vm_whose_shim_takes_no_lease_is_started_anew(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_fleet(tmp_path) as fleet:
        await renew(fleet, seconds=1000)
        fleet.assign(a_desired(content=a_content(1, a_spec())))
        await trio.sleep(10)
        fleet.steps.fails["fence"] = 1
        fleet.assign(a_desired(content=a_content(2, a_spec(singleton=True))))
        await trio.sleep(20)
        assert fleet.steps.kinds()[-2:] == ["stop", "boot"]
        assert fleet.supervisor.vms["web-0"].is_fenced


def test_a_lease_is_written_when_that_adds_something_and_always_when_it_ends() -> None:
    held = Lease(1_000_000 * NS_PER_MS)
    for added_ms, worth in ((0, False), (1, False), (1_999, False), (2_000, True), (40_000, True), (-1, True)):
        fresh = Lease(held.deadline_ns + added_ms * NS_PER_MS)
        assert is_worth_keeping(fresh, over=held, lease_ms=40_000) is worth, added_ms
    assert is_worth_keeping(Lease(5), over=held, lease_ms=0), "taken away"
