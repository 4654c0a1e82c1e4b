"""Maps of tens of thousands of entries of which a few change at a time: the next one shares the rest.

A copy of a large dict costs a hundred times what a report changes in it. Here the entries lie in some hundred small
dicts, and only those that are written to are copied. The order of entries means nothing. It knows no state.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")
SHARDS = 256


class Shards(Mapping[str, V], Generic[V]):
    """An immutable map. It equals any map with the same entries."""

    __slots__ = ("_shards",)

    def __init__(self, entries: Mapping[str, V] | None = None) -> None:
        self._shards: tuple[dict[str, V], ...] = ({},) * SHARDS
        if entries:
            self._shards = self.changed(put=entries)._shards

    def __getitem__(self, key: str) -> V:
        return self._shards[hash(key) % SHARDS][key]

    def get(self, key: str, default: V | None = None) -> V | None:  # type: ignore[override]  # one form is enough here
        """The value of `key`, else `default`."""
        return self._shards[hash(key) % SHARDS].get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._shards[hash(key) % SHARDS]

    def __iter__(self) -> Iterator[str]:
        for shard in self._shards:
            yield from shard

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def changed(self, *, put: Mapping[str, V], drop: Collection[str] = ()) -> "Shards[V]":
        """The same without `drop` and with `put`; itself when that is nothing. Keys in `drop` need not be there."""
        shards, own = list(self._shards), set()
        for key in drop:
            at = hash(key) % SHARDS
            if key in shards[at]:
                if at not in own:
                    own.add(at)
                    shards[at] = dict(shards[at])
                del shards[at][key]
        for key, value in put.items():
            at = hash(key) % SHARDS
            if at not in own:
                own.add(at)
                shards[at] = dict(shards[at])
            shards[at][key] = value
        if not own:
            return self
        made: Shards[V] = Shards()
        made._shards = tuple(shards)
        return made
