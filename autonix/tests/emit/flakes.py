"""Generated flakes on disk, beside the files that their analyses speak of, evaluated by the real nix, offline."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autonix import nixast as n
from autonix.emit.files import generated
from autonix.emit.flake import Inputs
from autonix.findings import Analysis
from autonix.printer import show
from nix.environment import NixEnvironment
from nix.example import LIBRARY
from nix.run import run

STAND_IN = Path(__file__).parent.parent / "nixpkgs-stand-in"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What nix says that a flake yields: store paths of derivations by name, and plain values."""

    packages: dict[str, str]
    checks: dict[str, str]
    shells: dict[str, str]
    apps: dict[str, Any]
    blueprint: dict[str, Any]
    systems: dict[str, str]


EVERYTHING = """
flake:
let
  derivations = builtins.mapAttrs (_: value: builtins.unsafeDiscardStringContext value.drvPath);
in
{
  packages = derivations flake.packages.x86_64-linux;
  checks = derivations flake.checks.x86_64-linux;
  shells = derivations flake.devShells.x86_64-linux;
  apps = flake.apps.x86_64-linux;
  blueprint = flake.blueprintJSON;
  systems = builtins.mapAttrs (
    _: value: builtins.unsafeDiscardStringContext value.config.system.build.toplevel.drvPath
  ) flake.nixosConfigurations;
}
"""


def files_named(analysis: Analysis) -> Iterator[str]:
    """The lock files and directories without which the flake would not evaluate."""
    for project in analysis.projects:
        if project.lock is not None:
            yield project.lock.file
        if project.path not in ("", "."):
            yield f"{project.path}/.here"


async def evaluated(directory: Path, analyses: Mapping[str, Analysis]) -> dict[str, Evaluated]:
    """Every flake's outputs, in `directory/flakes/<name>`. Raises CommandFailed where one does not evaluate."""
    procurator = directory / "procurator"
    shutil.copytree(LIBRARY, procurator / "lib")
    (procurator / "modules").mkdir()
    # The guest's own module needs the whole of NixOS; the stand-in looks only for the file.
    (procurator / "modules" / "guest.nix").write_text("{ }\n")
    nixpkgs = shutil.copytree(STAND_IN, directory / "nixpkgs")
    inputs = Inputs(nixpkgs=f"path:{nixpkgs}", procurator=f"path:{procurator}")
    environment = NixEnvironment(directory / "nix-state").write()
    flakes: dict[str, n.Node] = {}
    for name, analysis in analyses.items():
        place = directory / "flakes" / name
        for wanted in files_named(analysis):
            (place / wanted).parent.mkdir(parents=True, exist_ok=True)
            (place / wanted).touch()
        place.mkdir(parents=True, exist_ok=True)
        for file, text in generated(analysis, inputs).files():
            (place / file).write_text(text)
        lock = ("nix", "flake", "lock", "--offline", f"path:{place}")
        await run(lock, deadline=180, env=environment.env)
        flakes[name] = n.call("everything", n.call("builtins.getFlake", n.text(f"path:{place}")))
    outputs = n.AttrSet(tuple(n.Binding((name,), value) for name, value in flakes.items()))
    expression = f"let everything = {EVERYTHING}; in {show(outputs)}"
    argv = ("nix", "eval", "--offline", "--impure", "--json", "--expr", expression)
    printed = (await run(argv, deadline=120, env=environment.env)).stdout
    return {name: Evaluated(**found) for name, found in json.loads(printed).items()}
