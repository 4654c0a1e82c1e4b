"""What autonix says of the labelled repositories: nothing wrong, and nearly all that is there."""

from pathlib import Path

import pytest

from autonix.explain import findings_of
from autonix.findings import Analysis
from autonix.scan import analyse
from autonix.tests.archive import Repository, held_out, repositories
from autonix.tests.facts import facts

RECALL = 0.95
FEWEST, SET_ASIDE = 60, 20
EXACT = ("service", "version", "uses", "toolchain", "ci-toolchain", "lock")
"""Facts that are services and versions: of these none may be wrong, also where nothing was tuned."""
LABELLED = repositories()
HELD_OUT = held_out()


async def analysed(repository: Repository, directory: Path) -> Analysis:
    return await analyse(repository.write(directory / "repository"))


@pytest.mark.parametrize("labelled", LABELLED, ids=lambda repository: repository.name)
async def test_nothing_is_said_that_is_not_so(labelled: Repository, tmp_path: Path) -> None:
    found = facts(await analysed(labelled, tmp_path))
    assert sorted(found - labelled.labels) == []


@pytest.mark.parametrize("labelled", LABELLED, ids=lambda repository: repository.name)
async def test_every_finding_points_at_a_line_that_exists(labelled: Repository, tmp_path: Path) -> None:
    analysis = await analysed(labelled, tmp_path)
    assert analysis.skipped == ()
    for finding in findings_of(analysis):
        assert 1 <= finding.line <= labelled.files[finding.file].count("\n") + 1, finding
        assert finding.rule


@pytest.mark.parametrize("labelled", HELD_OUT, ids=lambda repository: repository.name)
async def test_no_wrong_service_or_version_where_nothing_was_tuned(labelled: Repository, tmp_path: Path) -> None:
    found = facts(await analysed(labelled, tmp_path))
    assert sorted(fact for fact in found - labelled.labels if fact.startswith(EXACT)) == []


def test_enough_repositories_are_labelled_and_a_third_of_them_set_aside() -> None:
    assert len(LABELLED) + len(HELD_OUT) >= FEWEST
    assert len(HELD_OUT) >= max(SET_ASIDE, (len(LABELLED) + len(HELD_OUT)) // 3)


@pytest.mark.parametrize("labelled_set", [LABELLED, HELD_OUT], ids=["tuned on", "held out"])
async def test_nearly_everything_is_found(labelled_set: list[Repository], tmp_path: Path) -> None:
    missing: list[str] = []
    for labelled in labelled_set:
        found = facts(await analysed(labelled, tmp_path / labelled.name))
        missing += [f"{labelled.name}: {fact}" for fact in sorted(labelled.labels - found)]
    total = sum(len(labelled.labels) for labelled in labelled_set)
    assert (total - len(missing)) / total >= RECALL, missing
