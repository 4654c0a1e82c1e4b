"""A database without one: the rows that the store would write, held to their keys."""

from collections.abc import Mapping

from control_plane.state import Snapshot
from control_plane.store.rows import Row, Values, changes, snapshot_of
from control_plane.store.tables import APART, columns_of, keys_of, metadata

SNAPSHOT_TABLES = tuple(name for name, table in metadata.tables.items() if table.info != APART)


class Kept:
    """The rows of a database, without one."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.epoch = snapshot.epoch
        self.rows: dict[str, dict[Values, Values]] = {name: {} for name in SNAPSHOT_TABLES}
        self.write(None, snapshot)

    def write(self, before: Snapshot | None, after: Snapshot) -> None:
        for change in changes(before, after):
            rows, keys = self.rows[change.table], len(keys_of(change.table))
            for one in change.slices():
                for row in one.gone:
                    assert rows.pop(row[:keys]) == row
                for row, lost in zip(one.altered, one.lost, strict=True):
                    assert rows[row[:keys]] == lost
                    rows[row[:keys]] = row
                for row in one.fresh:
                    assert rows.setdefault(row[:keys], row) is row

    def load(self) -> Snapshot:
        return snapshot_of(epoch=self.epoch, realm="default", rows=rows_by_column(self.rows))


def rows_by_column(rows: Mapping[str, Mapping[Values, Values]]) -> dict[str, list[Row]]:
    return {
        name: [dict(zip(columns_of(name), row, strict=True)) for row in some.values()] for name, some in rows.items()
    }
