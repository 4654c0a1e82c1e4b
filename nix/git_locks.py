"""What a killed git leaves behind in a bare repository: `<file>.lock`, which keeps every later git out for good."""

from itertools import chain
from pathlib import Path

_PLACES = ("*.lock", "refs/**/*.lock", "objects/info/*.lock")


def clear_git_locks(repository: Path) -> tuple[Path, ...]:
    """Remove the locks of a bare repository that no git works in; which they were.

    No ref can be mistaken for one: git allows no name that ends with `.lock` (git-check-ref-format(1)).
    """
    locks = tuple(sorted(chain.from_iterable(repository.glob(place) for place in _PLACES)))
    for lock in locks:
        lock.unlink(missing_ok=True)
    return locks
