"""Files of a store that lies below another root: where on this machine they are. It reads links and nothing else."""

from collections.abc import Iterable
from pathlib import Path

from schema.errors import InvalidInput, NotFound

_STORE = Path("/nix/store")
_LINKS_FOLLOWED = 40


class Chroot:
    """The files of the store at `local?root=<root>`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def physical(self, store_path: str) -> Path:
        """Where a path `/nix/store/…` of this store really is on the machine."""
        return self._root / store_path.lstrip("/")

    def file(self, store_file: str) -> Path:
        """The file that `store_file` is in this store, its links followed inside it.

        A link in a chroot store says `/nix/store/…`, which the kernel would look up on the host. Raises InvalidInput
        when it leads out of the store and NotFound when it leads nowhere.
        """
        path = Path(store_file)
        for _ in range(_LINKS_FOLLOWED):
            if not path.is_relative_to(_STORE) or ".." in path.parts or len(path.parts) < 4:
                raise InvalidInput(f"{store_file} leads to {path}, which is not in the store")
            link = self._first_link(path)
            if link is None:
                real = self.physical(str(path))
                if not real.exists():
                    raise NotFound(f"{store_file} does not exist in this worker's store")
                return real
            target = self.physical(str(link)).readlink()
            path = _joined(link.parent, target) / path.relative_to(link)
        raise InvalidInput(f"{store_file} is a loop of links")

    def _first_link(self, path: Path) -> Path | None:
        parts = [parent for parent in reversed((path, *path.parents)) if len(parent.parts) >= 4]
        return next((part for part in parts if self.physical(str(part)).is_symlink()), None)

    def present(self, paths: Iterable[str]) -> frozenset[str]:
        """Those of `paths` that are in this store."""
        return frozenset(path for path in paths if self.physical(path).exists())


def _joined(folder: Path, target: Path) -> Path:
    """`target` as a link in `folder` means it, with its `..` taken lexically."""
    if target.is_absolute():
        return target
    parts: list[str] = list(folder.parts)
    for part in target.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return Path(*parts)
