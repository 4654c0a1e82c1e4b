"""The page of all repositories, each with its newest build; it fetches nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from repohub.pages.build_row import BuildRow, build_row
from schema.builds import Build


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """What repohub itself knows of a repository: its name, its branch, how many pushes wait for CI or were refused."""

    name: str
    default_branch: str
    waiting: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class RepositoryRow:
    """One repository."""

    name: str
    href: str
    default_branch: str
    waiting: int
    refused: int
    newest: BuildRow | None


@dataclass(frozen=True, slots=True)
class IndexPage:
    """All of them, and why their builds are missing where CI is away."""

    rows: tuple[RepositoryRow, ...]
    base_url: str
    ci_problem: str
    is_live: bool


def index_page(
    repositories: Iterable[RepositoryFacts], builds: Iterable[Build], *, base_url: str, ci_problem: str, now_ms: int
) -> IndexPage:
    """The repositories by the time of their newest build, then by name. `builds` are the newest first."""
    newest: dict[str, Build] = {}
    for build in builds:
        newest.setdefault(build.repository, build)
    rows = tuple(_row(facts, newest, now_ms) for facts in sorted(repositories, key=lambda r: _order(r.name, newest)))
    return IndexPage(
        rows=rows,
        base_url=base_url,
        ci_problem=ci_problem,
        is_live=any(row.newest is not None and not row.newest.is_over for row in rows),
    )


def _order(name: str, newest: Mapping[str, Build]) -> tuple[int, str]:
    build = newest.get(name)
    return (-build.created_at_ms if build else 0, name)


def _row(facts: RepositoryFacts, newest: Mapping[str, Build], now_ms: int) -> RepositoryRow:
    build = newest.get(facts.name)
    return RepositoryRow(
        name=facts.name,
        href=f"/{facts.name}",
        default_branch=facts.default_branch,
        waiting=facts.waiting,
        refused=facts.refused,
        newest=build_row(build, now_ms=now_ms) if build else None,
    )
