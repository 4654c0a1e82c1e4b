"""The one writer task: what is stored before it counts, what is written together, and a database that goes away."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from control_plane.audit import REFUSALS_AT_ONCE, AuditDraft, Head
from control_plane.authority import Authority, Decide
from control_plane.events import GenerationPublished, OriginPinned, StateEvent
from control_plane.state import Snapshot
from control_plane.store.writer import Superseded
from control_plane.tests.builders import ORIGIN, a_generation, a_spec
from control_plane.tests.conftest import of_postgres, of_sqlite
from control_plane.tests.postgres import Home, Postgres, a_proxy
from schema.errors import Conflict, PermissionDenied, ProcuratorError, Unavailable

ANNA = AuditDraft("token:anna", "publishState", "192.0.2.7")


class Told:
    """What the authority says to others."""

    def __init__(self) -> None:
        self.generations: list[int] = []
        self.commits: list[int] = []

    def changed(self, before: Snapshot, after: Snapshot) -> None:
        self.generations.extend(sorted(set(after.generations) - set(before.generations)))

    def committed(self, _seconds: float, requests: int) -> None:
        self.commits.append(requests)


@asynccontextmanager
async def an_authority(home: Home, told: Told | None = None) -> AsyncIterator[Authority]:
    told = told or Told()
    database = home.open()
    authority = Authority(database, realm="default", on_change=told.changed, wall_ms=lambda: 1000)
    authority.on_commit = told.committed
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(authority.run)
            yield authority
            nursery.cancel_scope.cancel()
    finally:
        database.close()


def publishes(number: int) -> Decide:
    def decide(snapshot: Snapshot) -> Sequence[StateEvent]:
        if number in snapshot.generations:
            return ()
        if number < 0:
            raise Conflict("another hash")
        return (GenerationPublished(a_generation(number, a_spec())),)

    return decide


async def test_a_change_and_its_audit_are_on_disk_together(home: Home) -> None:
    async with an_authority(home) as authority:
        await authority.change(publishes(1), audit=ANNA)
        await authority.change(publishes(1), audit=ANNA)
        entries = await authority.audit_entries(limit=0, before=0)
        assert [(entry.sequence, entry.actor, entry.result) for entry in entries] == [
            (2, "token:anna", "unchanged"),
            (1, "token:anna", "ok"),
        ]
        assert authority.audit_head == Head(2, entries[0].hash)
    database = home.open()
    assert set(database.load("default").generations) == {1}
    assert database.audit_head("default") == Head(2, entries[0].hash)
    database.close()


async def test_old_and_new_values_are_taken_from_the_snapshots_of_that_moment(home: Home) -> None:
    def draft(before: Snapshot, after: Snapshot) -> AuditDraft:
        return AuditDraft("uid:0", "publishState", old=f"{len(before.generations)}", new=f"{len(after.generations)}")

    async with an_authority(home) as authority:
        await authority.change(publishes(1))
        await authority.change(publishes(2), audit=draft)
        with pytest.raises(Conflict):
            await authority.change(publishes(-1), audit=draft)
        newest, first = await authority.audit_entries(limit=0, before=0)
    assert (first.old, first.new, first.result) == ("1", "2", "ok")
    assert (newest.old, newest.new, newest.result) == ("2", "2", "conflict: another hash")


async def test_what_was_refused_elsewhere_is_recorded_and_a_flood_of_it_is_bounded(home: Home) -> None:
    async with an_authority(home) as authority:
        for _ in range(REFUSALS_AT_ONCE + 30):
            await authority.record(ANNA, refusal=PermissionDenied("a viewer may not publish"))
        await authority.record(ANNA)
        assert authority.audit_head.rows == REFUSALS_AT_ONCE + 1
        assert (await authority.verify_audit()).holds
        newest, before = await authority.audit_entries(limit=2, before=0)
        assert newest.result == "ok"
        assert before.result == "permission-denied: a viewer may not publish"


async def test_requests_that_wait_are_written_together_and_each_is_answered_for_itself(tmp_path: Path) -> None:
    told = Told()
    answers: dict[int, str] = {}

    async def ask(authority: Authority, number: int) -> None:
        try:
            await authority.change(publishes(number), audit=ANNA)
            assert number in authority.snapshot.generations
            answers[number] = "ok"
        except ProcuratorError as error:
            answers[number] = error.code

    numbers = [*range(1, 20), -1]
    async with an_authority(of_sqlite(tmp_path / "state"), told) as authority:
        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(ask, authority, number)
        assert answers == {number: "conflict" if number < 0 else "ok" for number in numbers}
        assert sum(told.commits) == len(numbers)
        assert len(told.commits) <= 3
        assert sorted(told.generations) == list(range(1, 20))
        assert (await authority.verify_audit()).rows == len(numbers)


async def test_a_bug_in_a_decision_ends_the_writer(tmp_path: Path) -> None:
    def bug(_snapshot: Snapshot) -> Sequence[StateEvent]:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with an_authority(of_sqlite(tmp_path / "state")) as authority:
            await authority.change(bug)


async def test_a_database_that_is_away_refuses_and_serves_again_when_it_is_back(postgres: Postgres) -> None:
    told = Told()
    async with an_authority(of_postgres(postgres), told) as authority:
        await authority.change(publishes(1))
        postgres.stop()
        try:
            with pytest.raises(Unavailable):
                await authority.change(publishes(2), audit=ANNA)
            assert set(authority.snapshot.generations) == {1}
            await authority.record(ANNA, refusal=PermissionDenied("no"))  # nobody fails for want of an audit row
        finally:
            postgres.start()
        await authority.change(publishes(2), audit=ANNA)
        assert set(authority.snapshot.generations) == {1, 2}
        assert (await authority.verify_audit()).rows == authority.audit_head.rows == 1
    assert told.generations == [1, 2]


@pytest.mark.parametrize("written", [True, False])
async def test_a_commit_whose_answer_was_lost_is_found_out_and_told(postgres: Postgres, written: bool) -> None:
    told = Told()
    with a_proxy(postgres) as proxy:
        async with an_authority(proxy.before(of_postgres(postgres)), told) as authority:
            proxy.break_at(b"COMMIT", delivered=written)
            with pytest.raises(Unavailable, match="during a commit"):
                await authority.change(publishes(1), audit=ANNA)
            with trio.fail_after(60):
                while written and not told.generations:  # noqa: ASYNC110 by itself, with nobody asking
                    await trio.sleep(0.05)
            await authority.change(publishes(1), audit=ANNA)
            assert told.generations == [1]
            assert set(authority.snapshot.generations) == {1}
            verdict = await authority.verify_audit()
            assert (verdict.holds, verdict.rows) == (True, 2 if written else 1)


async def test_a_control_plane_whose_database_was_taken_over_ends(postgres: Postgres) -> None:
    home = of_postgres(postgres)
    with pytest.RaisesGroup(Superseded, flatten_subgroups=True):
        async with an_authority(home) as authority:
            await authority.change(publishes(1))
            home.execute(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
                " WHERE application_name = 'procurator-control-plane' AND datname = current_database()"
            )
            successor = home.open()
            now = successor.load("default")
            successor.close()
            assert set(now.generations) == {1}
            with pytest.raises(Superseded):
                await authority.change(lambda _snapshot: (OriginPinned(ORIGIN),))
            await trio.sleep_forever()
