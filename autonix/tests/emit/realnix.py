"""The real nix, asked what a text means; every answer of these is nix's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nix.environment import NixEnvironment
from nix.run import run


async def parse(directory: Path, *texts: str) -> list[str]:
    """How nix reads each text back. Raises CommandFailed where it cannot."""
    files = []
    for number, text in enumerate(texts):
        files.append(directory / f"{number}.nix")
        files[-1].write_text(text)
    nix = NixEnvironment(directory / "nix-state").write()
    argv = ("nix-instantiate", "--parse", *map(str, files))
    return (await run(argv, deadline=180, env=nix.env)).stdout.decode().splitlines()


async def evaluate(directory: Path, text: str, *, options: Sequence[str] = ()) -> Any:
    """The value of a text, deeply. Raises CommandFailed where it does not evaluate."""
    source = directory / "expression.nix"
    source.write_text(text)
    nix = NixEnvironment(directory / "nix-state").write()
    argv = ("nix-instantiate", "--eval", "--strict", "--json", *options, str(source))
    return json.loads((await run(argv, deadline=180, env=nix.env)).stdout)
