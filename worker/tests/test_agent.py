"""The agent against a control plane in memory that comes, goes and lies."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import trio
from trio.testing import MockClock

from schema.assignment import Assignment, Seen, SignedAssignment
from schema.errors import Unavailable
from schema.interfaces import WorkerSession
from schema.status import LiveClosures, PushReply, WorkerReport
from schema.tests.builders import as_signed
from worker.agent import Agent, Pins
from worker.records import Records
from worker.supervise import Supervisor
from worker.tests.builders import a_spec, some_limits
from worker.tests.fake_control_plane import KEY, Wanted, an_assignment
from worker.tests.real_nix import KEY as CI_KEY
from worker.tests.real_nix import OTHER_KEY
from worker.tests.scripted_steps import ScriptedSteps, at_once
from worker.tests.test_supervise import Answers, boottime_ns


class Session:
    """A control plane of one worker, in memory; `away` makes every connection and call fail."""

    def __init__(self) -> None:
        self.away = False
        self.offers: list[SignedAssignment] = []
        self.asked: list[tuple[float, Seen | None]] = []
        self.pushed: list[tuple[float, WorkerReport]] = []
        self.dialled: list[float] = []
        self._moved = trio.Event()

    def offer(self, signed: SignedAssignment) -> None:
        self.offers.append(signed)
        self.notify()

    def notify(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[WorkerSession]:
        self.dialled.append(round(trio.current_time(), 2))
        await self._check()
        yield self

    async def _check(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise Unavailable("nobody is there")

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        self.asked.append((trio.current_time(), last_seen))
        with trio.move_on_after(25):
            while not self.offers:
                await self._moved.wait()
                await self._check()
            return self.offers.pop(0)
        return None

    async def push_data(self, report: WorkerReport) -> PushReply:
        await self._check()
        self.pushed.append((round(trio.current_time(), 2), report))
        return PushReply(server_time_ms=0)

    async def live_closures(self) -> LiveClosures:
        return LiveClosures(paths=(), complete=False)


class World:
    def __init__(self, folder: Path) -> None:
        self.session = Session()
        self.records = Records(folder)
        self.supervisor = Supervisor(
            steps=ScriptedSteps(),
            records=self.records,
            limits=some_limits(),
            min_healthy_ms=2000,
            ask=Answers(),
            boottime_ns=boottime_ns,
            in_thread=at_once,
        )
        self.agent = Agent(
            pins=Pins("w-0", (KEY.public,), (CI_KEY.public,)),
            connect=self.session.connect,
            supervisor=self.supervisor,
            records=self.records,
            report=self.report,
            interval_ms=10_000,
            boottime_ns=boottime_ns,
            draw=lambda: 0.0,
        )

    def report(self) -> WorkerReport:
        seen = self.agent.seen
        return WorkerReport(worker_id="w-0", revision=seen.revision if seen else 0)


@asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[World]:
    world = World(folder)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.supervisor.run)
        nursery.start_soon(world.agent.run)
        yield world
        nursery.cancel_scope.cancel()


def an_offer(revision: int, *names: str, epoch: str = "e" * 32, worker_id: str = "w-0") -> Assignment:
    wanted = [Wanted(f"{name}-0", a_spec(name), number=2 + number) for number, name in enumerate(names)]
    return an_assignment(*wanted, revision=revision, publisher=CI_KEY, epoch=epoch, worker_id=worker_id)


def signed(revision: int, *names: str, epoch: str = "e" * 32, worker_id: str = "w-0") -> SignedAssignment:
    return as_signed(an_offer(revision, *names, epoch=epoch, worker_id=worker_id), KEY)


async def obeyed(world: World, revision: int) -> None:
    """Wait until the agent obeys `revision`; a thread writes it to disk first, so this takes real time."""
    await until(lambda: world.agent.seen is not None and world.agent.seen.revision == revision)


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not true():  # noqa: ASYNC110 - it has no event
            await trio.sleep(0.005)


async def test_an_assignment_is_checked_kept_and_obeyed(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        offer = signed(3, "web")
        world.session.offer(offer)
        await obeyed(world, 3)
        assert set(world.supervisor.desired) == {"web-0"}
        assert world.records.kept_assignment() == offer
        await until(lambda: world.session.asked[-1][1] == Seen("e" * 32, 3))


async def test_what_is_not_to_be_believed_changes_nothing(tmp_path: Path) -> None:
    good = signed(3, "web")
    stranger = as_signed(an_assignment(revision=4, publisher=OTHER_KEY), OTHER_KEY)
    unsigned_specs = as_signed(an_assignment(Wanted("db-0", a_spec("db")), revision=4, publisher=OTHER_KEY), KEY)
    for lie in (
        replace(good, data=good.data.replace(b"web", b"wob")),
        stranger,
        unsigned_specs,
        signed(4, worker_id="w-1"),
        signed(2, "db"),
        SignedAssignment(b"{", KEY.sign(b"procurator-assignment-v1\n{")),
    ):
        async with a_world(tmp_path) as world:
            world.session.offer(good)
            await obeyed(world, 3)
            world.session.offer(lie)
            await until(lambda: not world.session.offers)
            await trio.sleep(0.1)
            assert set(world.supervisor.desired) == {"web-0"}
            assert world.records.kept_assignment() == good
            assert world.agent.seen == Seen("e" * 32, 3)


async def test_a_new_epoch_may_begin_with_a_lower_revision(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.session.offer(signed(9, "web"))
        await obeyed(world, 9)
        world.session.offer(signed(1, "db", epoch="f" * 32))
        await obeyed(world, 1)
        assert set(world.supervisor.desired) == {"db-0"}


async def test_the_kept_assignment_is_obeyed_without_a_control_plane(tmp_path: Path) -> None:
    Records(tmp_path).keep_assignment(signed(5, "web"))
    async with a_world(tmp_path) as world:
        world.session.away = True
        await obeyed(world, 5)
        assert set(world.supervisor.desired) == {"web-0"}
        assert world.agent.seen == Seen("e" * 32, 5)


async def test_it_dials_again_with_growing_pauses_and_goes_on_where_it_was(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path)
    world.session.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.agent.run)
        await trio.sleep(30)
        pauses = [round(after - before, 2) for before, after in pairwise(world.session.dialled)]
        assert pauses[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
        assert max(pauses) <= 7.5, "the longest pause is 15 s, less its jitter"
        world.session.away = False
        await trio.sleep(10)
        assert world.session.pushed and world.agent.connected
        world.session.away = True
        world.session.notify()
        await trio.sleep(1)
        assert not world.agent.connected
        nursery.cancel_scope.cancel()


async def test_reports_go_out_at_once_on_a_change_and_else_at_the_interval(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.agent.run)
        await trio.sleep(25)
        start = world.session.pushed[0][0]
        assert [round(at - start) for at, _ in world.session.pushed] == [0, 10, 20]
        world.supervisor.assign({}, ())
        await trio.sleep(0.1)
        assert round(world.session.pushed[-1][0] - start, 1) == 25.0
        nursery.cancel_scope.cancel()


async def test_a_refused_assignment_that_is_offered_again_and_again_is_not_fetched_in_a_tight_loop(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path)
    stranger = as_signed(an_assignment(revision=4, publisher=OTHER_KEY), OTHER_KEY)
    world.session.offers = [stranger] * 100
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.agent.run)
        await trio.sleep(60)
        assert 5 <= len(world.session.asked) <= 10
        nursery.cancel_scope.cancel()


async def test_an_assignment_that_cannot_be_kept_is_not_obeyed_and_costs_no_session(tmp_path: Path) -> None:
    in_the_way = tmp_path / "assignment.1"
    in_the_way.mkdir()  # as good as a full disk
    async with a_world(tmp_path) as world:
        world.session.offer(signed(1, "web"))
        await until(lambda: not world.session.offers)
        await trio.sleep(0.3)
        assert world.agent.seen is None and world.agent.connected and len(world.session.dialled) == 1
        in_the_way.rmdir()
        world.session.offer(signed(1, "web"))
        await obeyed(world, 1)
        assert len(world.session.dialled) == 1
