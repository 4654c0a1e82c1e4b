"""Values of a snapshot as the text that a column of the database holds; it makes no row.

A change of a whole fleet asks for tens of thousands, so most are kept for whoever asks for the same value again.
"""

from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any, Generic, TypeVar

from control_plane.state import PlacementReason, Resources
from schema.canonical import canonical_bytes
from schema.names import printable
from schema.status import WorkerFacts

T = TypeVar("T")

FACTS_KEPT = 10_000
"""Workers whose facts are at hand as text, of some 300 bytes each."""


def clean(value: Any) -> Any:
    """Text as every database can hold it: workers' reasons may have zeros and halves of surrogate pairs."""
    return printable(value) if isinstance(value, str) and not value.isprintable() else value


def json_text(value: Any) -> str:
    """Canonical JSON."""
    return canonical_bytes(value).decode()


class _Latest(Generic[T]):
    """The text of what was asked for last: the old and the new row of a pair mostly have it in common."""

    def __init__(self, text: Callable[[T], str]) -> None:
        self._text = text
        self._kept: tuple[T, str] | None = None

    def __call__(self, value: T) -> str:
        kept = self._kept
        if kept is None or kept[0] is not value:
            kept = self._kept = (value, self._text(value))
        return kept[1]


@_Latest
@lru_cache(maxsize=2048)
def reserved_text(reserved: Resources) -> str:
    """What a placement reserves."""
    amounts = {"cpu": reserved.cpu, "memoryMb": reserved.memory_mb, "diskMb": reserved.disk_mb}
    return json_text({**amounts, "extras": dict(reserved.extras)})


@_Latest
def reason_text(reason: PlacementReason) -> str:
    """Why a placement is where it is."""
    if not reason.missing and reason.text.isprintable():
        return f'{{"code":"{reason.code.value}","missing":[],"text":{_quoted(reason.text)}}}'
    missing = [[one.worker_id, one.what, one.needed, one.free, one.workers] for one in reason.missing]
    return str(clean(json_text({"code": reason.code.value, "text": reason.text, "missing": missing})))


class _Facts:
    """The texts of facts that were asked for last: a change of a whole fleet's revisions asks for each twice."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[WorkerFacts, str]] = {}

    def __call__(self, facts: WorkerFacts) -> str:
        kept = self._kept.get(id(facts))
        if kept is None or kept[0] is not facts:
            if len(self._kept) >= FACTS_KEPT:
                self._kept.clear()
            kept = self._kept[id(facts)] = (facts, json_text(facts.model_dump(mode="json", by_alias=True)))
        return kept[1]


facts_text = _Facts()
"""A worker's facts as text."""
