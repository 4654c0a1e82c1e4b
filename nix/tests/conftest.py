"""The library that modules are evaluated with: the stand-in always, nixpkgs' own where there is one."""

import os
from pathlib import Path

import pytest

from nix.tests.places import STAND_IN_LIB, nixpkgs

# Without one, a single test skips and says so, rather than every second.
LIBRARIES = ("stand-in", "nixpkgs") if os.environ.get("PROCURATOR_NIXPKGS") else ("stand-in",)


@pytest.fixture(params=LIBRARIES)
def lib(request: pytest.FixtureRequest) -> Path:
    return STAND_IN_LIB if request.param == "stand-in" else nixpkgs() / "lib"


@pytest.fixture
def nixpkgs_lib() -> Path:
    return nixpkgs() / "lib"
