"""The cache of a test module: the real program in a directory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ci_service.tests.cache.running import Nix, Running, a_running_cache


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Running]:
    with a_running_cache(tmp_path) as running:
        yield running


@pytest.fixture
def nix(tmp_path: Path) -> Nix:
    return Nix(tmp_path / "nix")
