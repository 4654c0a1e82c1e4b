"""What an analysis rests on, kept beside it, so that it need not be made again for a tree that answers the same.

An analysis is a function of the texts that were read and of what `Reader` was asked about the tree. So it holds for any
other tree with the same texts in which the same paths exist and the same directories list the same. It touches no disk.
"""

import hashlib
import io
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from operator import attrgetter
from typing import Any, Final

from autonix import findings
from autonix.findings import Analysis
from autonix.languages.shares import Tally
from autonix.reader import Reader, paths_below


@dataclass(frozen=True, slots=True)
class Known:
    """An analysis without its languages, and what it rests on.

    `read` are the files whose texts were read or could not be, `further` those of them that other files named, and
    `digest` that of the texts of `further`. `asked` are paths with whether they exist, `listed` directories with the
    digest of all below them. `tally` is of a commit's languages, None where they were not looked at;
    `attributes` are the texts of `.gitattributes` that they rest on.
    """

    analysis: Analysis
    read: frozenset[str]
    further: tuple[str, ...]
    digest: str
    asked: Mapping[str, bool]
    listed: Mapping[str, str]
    tally: Tally | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def holds_for(self, paths: Sequence[str]) -> bool:
        """Whether a tree of these (sorted, counted) paths answers the same; texts are not looked at."""
        every = frozenset(paths)
        return all((path in every) is exists for path, exists in self.asked.items()) and all(
            digest == listing_digest(paths, directory) for directory, digest in self.listed.items()
        )

    def holds_without(self, changed: Iterable[str], moved: Iterable[str]) -> bool:
        """Whether it holds for a tree in which `changed` have other contents and `moved` are new or gone."""
        if "." in self.listed:
            return False
        below = tuple(f"{directory}/" for directory in self.listed)
        return self.read.isdisjoint(changed) and not any(
            path in self.read or path in self.asked or path.startswith(below) for path in moved
        )


def known(analysis: Analysis, reader: Reader, *, read: Iterable[str], further: Iterable[str], digest: str) -> Known:
    """An analysis that `reader` answered for."""
    return Known(
        analysis=analysis,
        read=frozenset(read),
        further=tuple(sorted(further)),
        digest=digest,
        asked={path: reader.has(path) for path in sorted(reader.asked)},
        listed={directory: listing_digest(reader.paths, directory) for directory in sorted(reader.listed)},
    )


def listing_digest(paths: Sequence[str], directory: str) -> str:
    """A digest of all paths below a directory."""
    return hashlib.blake2b("\0".join(paths_below(paths, directory)).encode(), digest_size=16).hexdigest()


def packed(value: Known) -> bytes:
    """For a file of the cache."""
    file = io.BytesIO()
    _Pickler(file, protocol=5).dump(value)
    return file.getvalue()


def unpacked(data: bytes) -> Known | None:
    """What was packed; None for anything else. `data` is whole: `cache.py` compares its digest before."""
    try:
        value = _Unpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError, LookupError):
        return None
    return value if isinstance(value, Known) else None


_CLASSES: Final[Mapping[tuple[str, str], Any]] = {
    (each.__module__, each.__qualname__): each
    for each in (Known, Tally, *vars(findings).values())
    if isinstance(each, type) and (each in (Known, Tally) or each.__module__ == findings.__name__)
}
_FIELDS: Final = {
    each: attrgetter(*(field.name for field in fields(each)))
    for each in _CLASSES.values()
    if is_dataclass(each) and len(fields(each)) > 1
}


class _Pickler(pickle.Pickler):
    """Writes each value as a call of its class, which is made again much faster than by a state set field by field."""

    def reducer_override(self, obj: Any) -> Any:
        if (values := _FIELDS.get(type(obj))) is not None:
            return type(obj), values(obj)
        if isinstance(obj, Enum):
            return type(obj), (obj.value,)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Makes values of our own classes only, so that a file of the cache can call nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (found := _CLASSES.get((module, name))) is None:
            raise pickle.UnpicklingError(f"{module}.{name} is nothing that is kept")
        return found
