"""Builds in a database: one writer, synchronous commits; it knows rows and documents, and decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import OperationalError

from ci_service.pipeline import Queued
from schema.builds import Build, BuildPage, BuildState, PushNotice
from schema.errors import NotFound, Unavailable

R = TypeVar("R")

metadata = MetaData()

builds = Table(
    "builds",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("delivery", String(36), nullable=False, unique=True),
    Column("repository", String(130), nullable=False, index=True),
    Column("ref", Text, nullable=False),
    Column("commit", String(64), nullable=False, index=True),
    Column("default_branch", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("document", Text, nullable=False),
    Column("number", Integer, nullable=True),
    Column("intent_hash", String(64), nullable=True),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """The generation number and hash that a build stored before it published, so that a retry repeats them."""

    number: int
    intent_hash: str


class BuildStore:
    """The builds of one CI. Every change is on disk when its call returns."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._limiter = trio.CapacityLimiter(1)

    async def open(self) -> None:
        """Make the tables that are missing."""
        await self._run(metadata.create_all)

    async def close(self) -> None:
        """Give the connections back."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._engine.dispose)

    async def accept(self, notice: PushNotice, *, now_ms: int) -> tuple[Build, bool]:
        """The build of a delivery, and whether it is new: the same delivery again makes no second one."""

        def work(connection: Connection) -> tuple[Build, bool]:
            row = connection.execute(select(builds.c.document).where(builds.c.delivery == notice.delivery)).first()
            if row is not None:
                return Build.model_validate_json(row.document), False
            result = connection.execute(
                insert(builds).values(
                    delivery=notice.delivery,
                    repository=notice.repository,
                    ref=notice.ref,
                    commit=notice.new,
                    default_branch=notice.default_branch,
                    state=BuildState.QUEUED,
                    document="",
                )
            )
            (build_id,) = result.inserted_primary_key or (0,)
            build = Build(
                id=int(build_id),
                repository=notice.repository,
                ref=notice.ref,
                commit=notice.new,
                state=BuildState.QUEUED,
                created_at_ms=now_ms,
            )
            _write(connection, build)
            return build, True

        return await self._run(work)

    async def save(self, build: Build) -> None:
        """Write a build's newest form."""
        await self._run(lambda connection: _write(connection, build))

    async def reserve(self, build_id: int, reservation: Reservation) -> None:
        """Keep what a build is about to publish."""
        await self._run(
            lambda connection: connection.execute(
                update(builds)
                .where(builds.c.id == build_id)
                .values(number=reservation.number, intent_hash=reservation.intent_hash)
            )
        )

    async def reservation(self, build_id: int) -> Reservation | None:
        """What a build stored before an earlier try to publish."""

        def work(connection: Connection) -> Reservation | None:
            row = connection.execute(
                select(builds.c.number, builds.c.intent_hash).where(builds.c.id == build_id)
            ).first()
            return Reservation(row.number, row.intent_hash) if row and row.number is not None else None

        return await self._run(work)

    async def highest_reserved(self) -> int:
        """The highest generation number that any build ever reserved; 0 when none did."""
        return await self._run(lambda connection: connection.execute(select(func.max(builds.c.number))).scalar() or 0)

    async def build(self, build_id: int) -> Build:
        """One build. Raises NotFound."""

        def work(connection: Connection) -> Build:
            row = connection.execute(select(builds.c.document).where(builds.c.id == build_id)).first()
            if row is None:
                raise NotFound(f"there is no build {build_id}")
            return Build.model_validate_json(row.document)

        return await self._run(work)

    async def default_branch(self, build_id: int) -> str:
        """The default branch of the repository at the time of the push."""
        return await self._run(
            lambda connection: connection.execute(
                select(builds.c.default_branch).where(builds.c.id == build_id)
            ).scalar_one()
        )

    async def in_state(self, *states: BuildState) -> tuple[Build, ...]:
        """All builds in one of these states, oldest first."""

        def work(connection: Connection) -> tuple[Build, ...]:
            query = select(builds.c.document).where(builds.c.state.in_(states)).order_by(builds.c.id)
            return tuple(Build.model_validate_json(row.document) for row in connection.execute(query))

        return await self._run(work)

    async def unfinished(self) -> tuple[Build, ...]:
        """All builds that may still change, oldest first."""
        return await self.in_state(*(state for state in BuildState if not state.is_over))

    async def waiting(self) -> tuple[Queued, ...]:
        """What the queue holds, oldest first."""
        return tuple(Queued(b.id, b.repository, b.ref) for b in await self.in_state(BuildState.QUEUED))

    async def page(self, *, repository: str | None, commit: str | None, before: int | None, limit: int) -> BuildPage:
        """The newest builds first; `limit` of 1 to 100."""

        def work(connection: Connection) -> BuildPage:
            query = select(builds.c.document).order_by(builds.c.id.desc()).limit(limit + 1)
            for column, wanted in ((builds.c.repository, repository), (builds.c.commit, commit)):
                if wanted is not None:
                    query = query.where(column == wanted)
            if before is not None:
                query = query.where(builds.c.id < before)
            found = [Build.model_validate_json(row.document) for row in connection.execute(query)]
            more = len(found) > limit
            return BuildPage(builds=tuple(found[:limit]), next_before=found[limit - 1].id if more else None)

        return await self._run(work)

    async def _run(self, work: Callable[[Connection], R]) -> R:
        """One transaction. Raises Unavailable when the disk is full or the file is locked: nothing was written."""

        def transaction() -> R:
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except OperationalError as error:
                reason = str(error.orig)
                if "full" in reason or "locked" in reason:
                    raise Unavailable(f"the builds cannot be written now: {reason}") from error
                raise

        return await trio.to_thread.run_sync(transaction, limiter=self._limiter, abandon_on_cancel=False)


def _write(connection: Connection, build: Build) -> None:
    connection.execute(
        update(builds)
        .where(builds.c.id == build.id)
        .values(state=build.state, document=build.model_dump_json(by_alias=True))
    )


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
