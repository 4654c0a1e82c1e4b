"""Records what the nix in PATH prints for the commands that we run, for `test_recorded.py`.

`PATH=DIRECTORY/bin:$PATH python -m nix.tests.record` (see `other_nix.py`) writes `recorded/<version>.json`: for each
command its exit code and both outputs.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from nix import argv as argvs
from nix.environment import NixEnvironment
from nix.flake import FlakeRef
from nix.result import parse_instantiated, parse_version
from nix.run import Completed, run
from nix.tests.flakes import a_flake

RECORDED = Path(__file__).parent / "recorded"
PLACE = "/place"
"""Stands for the temporary directory in what is recorded."""
UNKNOWN = "/nix/store/" + "0" * 32 + "-unknown"
FLAKE = """
{
  outputs = { self }:
    let
      make = name: script: derivation {
        inherit name;
        system = "x86_64-linux";
        builder = "/bin/sh";
        args = [ "-c" script ];
        dep = builtins.toFile "dep" "what it depends on";
      };
    in
    {
      blueprintJSON = { schemaVersion = 1; cluster = "c"; vms = { }; };
      packages.x86_64-linux.good = make "good" "echo building; echo $dep >$out";
      packages.x86_64-linux.bad = make "bad" "echo before; echo to-stderr >&2; exit 3";
      checks.x86_64-linux = { one = 1; two = 2; };
      broken = { a = 1; b = throw "what its author threw"; };
    };
}
"""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Runs commands and keeps what they print."""

    place: Path
    nix: NixEnvironment
    flake: FlakeRef

    async def record(self, argv: tuple[str, ...]) -> dict[str, object]:
        done = await self._run(argv)
        return {"code": done.returncode, "stdout": self._told(done.stdout), "stderr": self._told(done.stderr)}

    async def _run(self, argv: tuple[str, ...]) -> Completed:
        return await run(argv, deadline=120, env=self.nix.env, check=False)

    def _told(self, output: bytes) -> str:
        return output.decode().replace(str(self.place), PLACE)

    async def all(self) -> dict[str, object]:
        """Every command by its name, in the order in which they must run."""
        good, bad = "packages.x86_64-linux.good", "packages.x86_64-linux.bad"
        root = self.place / "root"
        made = parse_instantiated((await self._run(argvs.instantiate(self.flake, good))).stdout)
        # What is there already is not built again, and then nix has nothing to tell of it.
        await self._run(("nix-store", "--delete", made.out))
        store = ("--store", argvs.chroot_store(root))
        commands: Mapping[str, tuple[str, ...]] = {
            "version": argvs.nix_version(),
            "metadata": argvs.flake_metadata(self.flake),
            "eval": argvs.eval_json(self.flake, "blueprintJSON"),
            "names": argvs.check_names(self.flake, "x86_64-linux"),
            "instantiate": argvs.instantiate(self.flake, good),
            "build": argvs.build(self.flake, good),
            "build-fails": argvs.build(self.flake, bad),
            "realise": argvs.realise([made.drv]),
            "path-info": argvs.path_info([made.out]),
            "path-info-unknown": argvs.path_info([UNKNOWN], recursive=False),
            "eval-fails": argvs.eval_json(self.flake, "broken"),
            "eval-misses": argvs.eval_json(self.flake, "nothing"),
            "log": argvs.build_log(made.drv),
            "copy": ("nix", "copy", "--no-check-sigs", "--to", argvs.chroot_store(root), made.out),
            "path-info-chroot": argvs.path_info([made.out], store=root),
            "gc": ("nix", "store", "gc", *store),
        }
        return {name: await self.record(argv) for name, argv in commands.items()}


async def record() -> Path:
    with TemporaryDirectory(prefix="procurator-record-") as work:
        place = Path(work)
        nix = NixEnvironment(place / "nix", sandbox=False).write()
        flake = await a_flake(place / "flake", nix, FLAKE)
        outputs = {"revision": flake.rev, **await Recorder(place, nix, flake).all()}
    version = outputs["version"]
    assert isinstance(version, dict)
    numbers = parse_version(str(version["stdout"]).encode())
    RECORDED.mkdir(exist_ok=True)
    file = RECORDED / f"{'.'.join(map(str, numbers))}.json"
    file.write_text(json.dumps(outputs, indent=1, ensure_ascii=False) + "\n")
    return file


if __name__ == "__main__":
    print(trio.run(record))
    sys.exit(0)
