"""Cargo.lock: the exact version of a dependency, where its constraint singles one out; it resolves nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autonix.findings import Dependency
from autonix.formats.document import Document


@dataclass(frozen=True, slots=True)
class Versions:
    """All versions that a lock holds, by crate."""

    by_name: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, wanted: Dependency) -> str | None:
        """The only version, or the only one in the caret range of the constraint; else None."""
        known = self.by_name.get(wanted.name, ())
        if len(known) == 1:
            return known[0]
        fitting = [version for version in known if _in_caret_range(version, wanted.constraint)]
        return fitting[0] if len(fitting) == 1 else None


def locked_versions(lock: Document | None) -> Versions:
    """The versions of a Cargo.lock; none of no lock."""
    found: dict[str, tuple[str, ...]] = {}
    for package in lock.array("package") if lock is not None else ():
        if (
            isinstance(package, dict)
            and isinstance(package.get("name"), str)
            and isinstance(package.get("version"), str)
        ):
            found[package["name"]] = (*found.get(package["name"], ()), package["version"])
    return Versions(found)


def _in_caret_range(version: str, constraint: str) -> bool:
    """Cargo's default: the same up to the leftmost number that is not 0 (`0.12` takes 0.12.x, `1.2` any 1.x)."""
    wanted = constraint.lstrip("^=~ ").split(".")
    length = next((index + 1 for index, part in enumerate(wanted) if part != "0"), len(wanted))
    return bool(constraint) and version.split(".")[:length] == wanted[:length]
