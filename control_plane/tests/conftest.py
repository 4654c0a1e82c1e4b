"""The databases that the tests of the store run on: SQLite in a directory, and a real PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from control_plane.tests.postgres import Home, Postgres, a_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole session."""
    with a_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """What every test of the store runs on, twice."""
    if request.param == "postgresql":
        return of_postgres(request.getfixturevalue("postgres"))
    return of_sqlite(tmp_path / "state")


def of_postgres(server: Postgres, *, database: str = "postgres") -> Home:
    if database != "postgres":
        return Home("postgresql", server.url(database), partial(server.execute, database))
    schema = server.new_schema()
    within = partial(server.execute, database, f"SET search_path = {schema}")
    return Home("postgresql", server.url(database, schema=schema), within)


def of_sqlite(path: Path) -> Home:
    def execute(*statements: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(path)
        try:
            rows: list[tuple[object, ...]] = []
            for statement in statements:
                rows = connection.execute(statement).fetchall()
            connection.commit()
            return rows
        finally:
            connection.close()

    return Home("sqlite", f"sqlite:///{path}", execute)
