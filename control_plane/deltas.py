"""Maps that remember what they were made from, so that two of them are compared by what has changed; it knows no state.

A snapshot's maps hold tens of thousands of entries, and a change touches a few. `derive` makes the next map as a plain
copy (which is quick) and notes the keys that it was given; `difference` answers from those notes where there are any,
and otherwise looks at each key.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar
from weakref import ref

K = TypeVar("K")
V = TypeVar("V")

MOST_ANCESTORS = 8
"""Living maps that a map knows itself to be made from."""


class Derived(dict[K, V]):
    """A map with notes of its ancestors: which keys may differ from each. It is never written to once it is made."""

    __slots__ = ("__weakref__", "notes")

    notes: tuple[tuple["ref[Derived[K, V]]", Mapping[K, None]], ...]


def derive(base: Mapping[K, V], *, put: Mapping[K, V] | None = None, drop: Collection[K] = ()) -> Mapping[K, V]:
    """`base` without `drop` and with `put`. Keys in `drop` need not be there."""
    given = put or {}
    made: Derived[K, V] = Derived(base)
    for key in drop:
        made.pop(key, None)
    made.update(given)
    made.notes = tuple(_notes(base, dict.fromkeys((*given, *drop)))) if isinstance(base, Derived) else ()
    return made


def _notes(base: Derived[K, V], keys: Mapping[K, None]) -> Iterable[tuple["ref[Derived[K, V]]", Mapping[K, None]]]:
    yield ref(base), keys
    for ancestor, known in base.notes[: MOST_ANCESTORS - 1]:
        if ancestor() is not None and len(known) < len(base) // 4:  # beyond that looking at each key is as quick
            yield ancestor, {**known, **keys}


def difference(before: Mapping[K, V], after: Mapping[K, V]) -> list[K]:
    """The keys whose value is another object, is new or is gone; the same changes give the same order."""
    if before is after:
        return []
    known = _known(before, after)
    if known is None:
        known = _known(after, before)
    if known is not None:
        return [key for key in known if _changed(key, before, after)]
    changed = [key for key, value in after.items() if before.get(key) is not value]
    new = sum(key not in before for key in changed)
    if len(before) + new != len(after):
        changed += [key for key in before if key not in after]
    return changed


def _known(ancestor: Mapping[K, V], made: Mapping[K, V]) -> Mapping[K, None] | None:
    if isinstance(made, Derived):
        for reference, keys in made.notes:
            if reference() is ancestor:
                return keys
    return None


def _changed(key: K, before: Mapping[K, V], after: Mapping[K, V]) -> bool:
    if key not in before or key not in after:
        return key in before or key in after
    return before[key] is not after[key]
