"""Where the tests find the example and the guest's parts."""

import os
from pathlib import Path

import pytest
import trio

from nix.parts import make_parts
from nix.tests.other_nix import SUITES, unpack
from schema.errors import ProcuratorError

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "example"
NIX = REPOSITORY / "nix"
STAND_IN_LIB = NIX / "checks" / "stand-in" / "lib"


def nixpkgs() -> Path:
    """The checkout of nixpkgs or nixpkgs-lib that PROCURATOR_NIXPKGS names; skips where there is none."""
    named = os.environ.get("PROCURATOR_NIXPKGS")
    if not named:
        pytest.skip("PROCURATOR_NIXPKGS names no checkout of nixpkgs or nixpkgs-lib")
    assert (Path(named) / "lib/default.nix").is_file(), f"PROCURATOR_NIXPKGS={named} has no lib/default.nix"
    return Path(named).resolve()


def whole_nixpkgs() -> Path:
    """The same with packages and NixOS, not the library alone."""
    found = nixpkgs()
    if not (found / "pkgs/top-level/all-packages.nix").is_file():
        pytest.skip("PROCURATOR_NIXPKGS names nixpkgs' library alone; this needs its packages and NixOS too")
    return found


def cache() -> Path:
    """The user's cache of what tests and demo share."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "procurator"


async def parts() -> Path:
    """The guest's parts in the user's cache, made if they are not there yet. One process at a time makes them."""
    await trio.to_thread.run_sync(lambda: cache().mkdir(parents=True, exist_ok=True))
    return await make_parts(cache())


async def other_nixes() -> list[Path]:
    """Directories of other versions' programs; skips where they are not there and cannot be had."""
    named = os.environ.get("PROCURATOR_OTHER_NIX")
    if named:
        return [Path(directory) for directory in named.split(":")]
    try:
        return [await unpack(cache() / "other-nix", suite) for suite in SUITES]
    except ProcuratorError as error:
        pytest.skip(f"other versions of nix cannot be had from Debian: {' '.join(str(error).split())[:300]}")
