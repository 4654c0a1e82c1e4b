"""The whole analysis of one repository an ecosystem is what was recorded and looked at."""

from pathlib import Path

import pytest

from autonix.tests.goldens import GOLDENS, RECORDED, analysis_of, told


@pytest.mark.parametrize("name", RECORDED)
async def test_the_analysis_is_the_recorded_one(name: str, tmp_path: Path) -> None:
    assert told(await analysis_of(name, tmp_path)) == (GOLDENS / f"{name}.txt").read_text()
