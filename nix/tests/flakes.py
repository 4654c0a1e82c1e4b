"""Builders of git flakes for tests."""

from pathlib import Path

from nix.environment import NixEnvironment
from nix.example import LIBRARY, Clone
from nix.flake import FlakeRef


async def a_flake(place: Path, nix: NixEnvironment, flake_nix: str) -> FlakeRef:
    """A repository with this `flake.nix` in its only commit, and no lock."""
    place.mkdir(parents=True)
    (place / "flake.nix").write_text(flake_nix)
    clone = Clone(place, nix)
    await clone.git("init", "--quiet", "--initial-branch=main")
    await clone.commit("A flake")
    return await clone.flake()


def with_builder(parts: Path, script: str, attributes: str = "{ }") -> str:
    """A flake whose attribute `x` is built by `script` under busybox."""
    return f"""
      {{
        inputs.procurator = {{ url = "path:{LIBRARY}"; flake = false; }};
        inputs.parts = {{ url = "path:{parts}"; flake = false; }};
        outputs = {{ self, procurator, parts }}: {{
          x = (import procurator {{ inherit parts; }}).shell "x" {attributes} ''{script}'';
        }};
      }}
    """
