"""What writing generated files would change, and whether it may; it touches no disk."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from autonix.emit.files import Generated, is_ours


class State(StrEnum):
    """What stands where a generated file is to go."""

    ABSENT = "absent"
    SAME = "same"
    OURS = "ours"
    EDITED = "edited"

    @property
    def may_be_written_over(self) -> bool:
        """Whether nothing of a person's would be lost."""
        return self is not State.EDITED


@dataclass(frozen=True, slots=True)
class Change:
    """One file: its new text, what is there now, and the difference in the manner of `diff -u`."""

    name: str
    text: str
    state: State
    difference: str


def changes(new: Generated, existing: Mapping[str, str | None]) -> tuple[Change, ...]:
    """A change for each file; `existing` holds the texts that are there, None (or no key) where there is none."""
    found = []
    for name, text in new.files():
        old = existing.get(name)
        if old is None:
            state = State.ABSENT
        elif old == text:
            state = State.SAME
        else:
            state = State.OURS if is_ours(old) else State.EDITED
        found.append(Change(name, text, state, _difference(name, old or "", text, is_new=old is None)))
    return tuple(found)


def _difference(name: str, old: str, new: str, *, is_new: bool) -> str:
    rows = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        "/dev/null" if is_new else f"a/{name}",
        f"b/{name}",
    )
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)
