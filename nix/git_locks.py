"""What a killed git leaves behind: locks and half-made repositories, which keep every later git out for good."""

import shutil
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


def mend_clones(cache: Path) -> tuple[Path, ...]:
    """Remove of nix's clones in a cache directory that no nix works in those that are not whole, and others' locks.

    Nix takes a directory that is there for a repository, so that one whose making was killed fails each evaluation from
    then on. What was removed is returned; nix clones anew what it does not find.
    """
    removed: list[Path] = []
    for clone in sorted(cache.glob("nix/gitv*/*")):
        if not clone.is_dir() or clone.is_symlink():
            continue
        if (clone / "HEAD").is_file() and (clone / "objects" / "info").is_dir():  # which git makes last
            removed += clear_git_locks(clone)
        else:
            shutil.rmtree(clone)
            removed.append(clone)
    return tuple(removed)
