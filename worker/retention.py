"""Decides when this worker's store is collected and what stays; pure, and it deletes nothing.

What stays: the roots of each instance (what runs, what is assigned, its fallback) and all that the control plane calls
live (DESIGN §6, Retention). Without its word nothing is collected at all.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from schema.status import LiveClosures


class Occasion(StrEnum):
    """Why a collection is due."""

    SCHEDULE = "schedule"
    PRESSURE = "disk pressure"
    ASKED = "asked by the control plane"


@dataclass(frozen=True, slots=True)
class Due:
    """The settings: seconds between collections, seconds between two under pressure, and MiB that are to stay free."""

    interval: float = 3600.0
    pressure_interval: float = 300.0
    min_free_mb: int = 2048


def occasion(due: Due, *, now: float, last: float | None, free_mb: int, asked: bool) -> Occasion | None:
    """Whether to collect now. `last` is when the last collection ended (seconds on the same clock), None for never."""
    since = None if last is None else now - last
    if asked:
        return Occasion.ASKED
    if free_mb < due.min_free_mb and (since is None or since >= due.pressure_interval):
        return Occasion.PRESSURE
    if since is not None and since >= due.interval:
        return Occasion.SCHEDULE
    return None


def live_roots(live: LiveClosures, present: Collection[str]) -> frozenset[str] | None:
    """The live paths that are in this store; None where the control plane does not know all, so nothing may go."""
    return frozenset(live.paths) & frozenset(present) if live.complete else None


def unused_images(
    made_of: Mapping[str, Collection[str]], *, in_use: Collection[str], kept_paths: Iterable[str]
) -> tuple[str, ...]:
    """The images that nothing refers to: not in use, and not made of paths that are all kept.

    `made_of`: the store paths that each image was asked for by. An image that nobody knows the paths of is unused.
    """
    kept = frozenset(kept_paths)
    return tuple(
        sorted(name for name, paths in made_of.items() if name not in in_use and not (paths and kept.issuperset(paths)))
    )
