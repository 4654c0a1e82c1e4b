"""Writes docs/reference from the declarations of options: a page for people, and the blueprint's JSON Schema.

`python -m nix.reference` writes the files again; a test holds them to it. It needs nix and no nixpkgs, and reads only
`lib/options.nix` and `modules/declarations.nix`, from which the options themselves are made.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from nix import argv as argvs
from nix.environment import NixEnvironment
from nix.reference_page import Group, descriptions, page
from nix.result import parse_json
from nix.run import run
from schema.json_schema import blueprint_schema

_HERE = Path(__file__).parent
DIRECTORY = _HERE.parent / "docs" / "reference"
_DEADLINE = 60.0
_DECLARED = """
let
  t = import {lib}/types.nix;
  declared = import {modules}/declarations.nix;
  form = options: (t.record options).form;
in
{{
  cluster = (import {lib}/options.nix).cluster.form;
  services = builtins.mapAttrs (_name: form) (removeAttrs declared [ "hostPort" "guest" "shared" ]);
  shared = form declared.shared;
  guest = form declared.guest;
}}
"""


async def declared() -> dict[str, Any]:
    """The declarations as data, as nix reads them."""
    with TemporaryDirectory(prefix="procurator-reference-") as work:
        nix = NixEnvironment(Path(work)).write()
        expression = _DECLARED.format(lib=_HERE / "lib", modules=_HERE / "modules")
        done = await run(argvs.evaluate_expression(expression), deadline=_DEADLINE, env=nix.env)
    forms: dict[str, Any] = parse_json(done.stdout)
    return forms


async def documents() -> dict[str, str]:
    """The text of each file, by its name in `DIRECTORY`."""
    forms = await declared()
    cluster = Group("cluster", forms["cluster"])
    services = [Group(f"services.procurator.{name}", form) for name, form in forms["services"].items()]
    shared = Group("services.procurator", forms["shared"])
    guest = Group("procurator.guest", forms["guest"])
    schema = blueprint_schema(descriptions(forms["cluster"]))
    return {
        "options.md": page(cluster=cluster, services=(shared, *services), guest=guest),
        "blueprint.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    }


def main() -> int:
    """Write both files."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, text in trio.run(documents).items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
        print(DIRECTORY / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
