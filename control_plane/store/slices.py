"""Rows of one table into the database, many at a time; it makes no row and no transaction.

SQLAlchemy writes the statements, once for each kind of database, and the driver is given the values as they are: what
SQLAlchemy does for each of tens of thousands of rows would cost more than writing them.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect, and_, bindparam

from control_plane.store import tables
from control_plane.store.rows import Slice, Values


def put_slice(connection: Connection, table: str, rows: Slice) -> None:
    """Write `rows` of `table`, in the transaction of `connection`."""
    for verb, values in (("delete", rows.gone), ("update", rows.altered), ("insert", rows.fresh)):
        if values:
            text, order, names = _statement(connection.dialect, verb, table)
            connection.exec_driver_sql(text, _arguments(values, order, names))


def _arguments(rows: Sequence[Values], order: tuple[int, ...], names: tuple[str, ...]) -> list[Any]:
    """What the driver takes: tuples in the order of the statement, or dicts where it has `names` for them."""
    if names:
        return [{name: row[at] for name, at in zip(names, order, strict=True)} for row in rows]
    if order == tuple(range(len(rows[0]))):
        return list(rows)
    return [tuple([row[at] for at in order]) for row in rows]


@lru_cache(maxsize=256)
def _statement(dialect: Dialect, verb: str, name: str) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
    """The text, which columns it takes in its order, and what it calls them (nothing: it counts them)."""
    columns = tables.columns_of(name)
    compiled = _element(verb, name).compile(dialect=dialect)
    called = compiled.positiontup if compiled.positional else list(compiled.params)  # type: ignore[attr-defined]
    order = tuple(columns.index(each.removeprefix("the_")) for each in called)
    return str(compiled), order, () if compiled.positional else tuple(called)  # type: ignore[attr-defined]


def _element(verb: str, name: str) -> ClauseElement:
    table, keys = tables.metadata.tables[name], tables.keys_of(name)
    values: dict[str, Any] = {column: bindparam(f"the_{column}") for column in tables.columns_of(name)}
    known_by = and_(*(table.c[key] == values[key] for key in keys))
    match verb:
        case "delete":
            return table.delete().where(known_by)
        case "update":
            return table.update().where(known_by).values({key: one for key, one in values.items() if key not in keys})
        case _:
            return table.insert().values(values)
