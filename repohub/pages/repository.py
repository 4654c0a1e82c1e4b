"""The page of one repository: its address, its builds, and the pushes that CI has not taken; it fetches nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

from repohub.pages import words
from repohub.pages.build_row import BuildRow, build_row
from schema.builds import BuildPage


@dataclass(frozen=True, slots=True)
class RefusedPush:
    """A push that CI refused: of what, and why."""

    ref: str
    commit: str
    reason: str


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    """What the page shows. `older` is the address of the next page of builds, empty on the last."""

    name: str
    clone_url: str
    default_branch: str
    builds: tuple[BuildRow, ...]
    older: str
    waiting: int
    waiting_reason: str
    refused: tuple[RefusedPush, ...]
    ci_problem: str
    is_live: bool


def refused_push(*, ref: str, new: str, reason: str) -> RefusedPush:
    """One, in words."""
    return RefusedPush(ref=words.short_ref(ref), commit=words.plain(new)[:10], reason=words.one_line(reason, limit=400))


def repository_page(
    builds: BuildPage,
    *,
    name: str,
    default_branch: str,
    base_url: str,
    waiting: int,
    waiting_reason: str,
    refused: Iterable[RefusedPush],
    ci_problem: str,
    now_ms: int,
) -> RepositoryPage:
    """The page of the repository `name`."""
    rows = tuple(build_row(build, now_ms=now_ms) for build in builds.builds)
    return RepositoryPage(
        name=name,
        clone_url=f"{base_url}/{name}.git",
        default_branch=default_branch,
        builds=rows,
        older=f"/{name}?before={builds.next_before}" if builds.next_before is not None else "",
        waiting=waiting,
        waiting_reason=words.one_line(waiting_reason, limit=300),
        refused=tuple(refused),
        ci_problem=ci_problem,
        is_live=waiting > 0 or any(not row.is_over for row in rows),
    )
