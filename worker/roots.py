"""Which closures of a worker's store stay: the links by which nix's collector knows them. It collects nothing."""

from collections.abc import Iterable, Mapping
from pathlib import Path


class Roots:
    """The garbage collector's roots in the store at `store`: those of instances, by role, and those of others."""

    def __init__(self, store: Path) -> None:
        self._roots = store / "nix/var/nix/gcroots/procurator"
        self._live_roots = store / "nix/var/nix/gcroots/procurator-live"
        self._put: dict[str, dict[str, tuple[str, ...]]] = {}

    def keep(self, instance: str, roles: Mapping[str, Iterable[str]]) -> None:
        """Make exactly these paths roots of `instance`, each link named for its role; no roles: none is kept.

        What we have put there is left alone until others are wanted; `restore` looks whether it is still there.
        """
        wanted = {role: tuple(paths) for role, paths in roles.items()}
        if not wanted or self._put.get(instance) != wanted:
            self._put.pop(instance, None)
            self._keep(instance, wanted)
            if wanted:
                self._put[instance] = wanted

    def restore(self) -> None:
        """Put back what somebody took away of the links that were put here."""
        for instance, wanted in self._put.items():
            self._keep(instance, wanted)

    def _keep(self, instance: str, roles: Mapping[str, Iterable[str]]) -> None:
        directory = self._roots / instance
        wanted = {f"{role}-{Path(path).name}": path for role, paths in roles.items() for path in paths}
        if wanted:
            directory.mkdir(parents=True, exist_ok=True)
        for name, path in wanted.items():
            link = directory / name
            if not link.is_symlink():
                link.symlink_to(path)
        if directory.is_dir():
            for link in directory.iterdir():
                if link.name not in wanted:
                    link.unlink()
            if not wanted:
                directory.rmdir()

    def kept(self) -> dict[str, tuple[str, ...]]:
        """The link names of each instance that has roots."""
        if not self._roots.is_dir():
            return {}
        return {
            directory.name: tuple(sorted(link.name for link in directory.iterdir()))
            for directory in sorted(self._roots.iterdir())
        }

    def instances(self) -> tuple[str, ...]:
        """Those that have roots, or had them."""
        return tuple(entry.name for entry in self._roots.iterdir()) if self._roots.is_dir() else ()

    def kept_paths(self) -> frozenset[str]:
        """The store paths that the roots of all instances name."""
        homes = list(self._roots.iterdir()) if self._roots.is_dir() else []
        return frozenset(str(link.readlink()) for home in homes for link in home.iterdir())

    def keep_live(self, wanted: Mapping[str, str]) -> None:
        """Make exactly these paths roots that belong to no instance, by the names of their links."""
        self._live_roots.mkdir(parents=True, exist_ok=True)
        for name, path in wanted.items():
            link = self._live_roots / name
            if not link.is_symlink():
                link.symlink_to(path)
        for link in self._live_roots.iterdir():
            if link.name not in wanted:
                link.unlink()
