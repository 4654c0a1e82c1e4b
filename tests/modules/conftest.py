"""The libraries that modules are evaluated with are those of nix/tests."""

from nix.tests.conftest import lib, nixpkgs_lib

__all__ = ["lib", "nixpkgs_lib"]
