"""Evaluates our NixOS modules with nixpkgs' library, or with the stand-in for it, and the options of nix/checks."""

import json
from pathlib import Path
from typing import Any

from nix import argv as argvs
from nix.environment import NixEnvironment
from nix.run import run
from nix.tests.places import NIX

KEY = f"ci-1:{'A' * 43}="
MACHINES = """
  cluster.machines = {
    control-plane-1 = { role = "control-plane"; address = "10.0.0.1"; port = 7400; };
    worker-1 = { role = "worker"; address = "10.0.0.2"; port = 7402; labels.zone = "a"; };
  };
"""
WORKER = f"""
  services.procurator.worker = {{
    enable = true;
    master = "control-plane-1";
    controlPlaneKeys = [ "{KEY}" ];
    publisherKeys = [ "{KEY}" ];
    ca = "/etc/procurator/ca.pem";
  }};
  networking.hostName = "worker-1";
"""
SERVICES = f"""
  services.procurator.control-plane = {{
    enable = true;
    signingKeyFile = "/etc/keys/control-plane";
    publisherKeys = [ "{KEY}" ];
  }};
  services.procurator.ci = {{
    enable = true;
    signingKeyFile = "/etc/keys/ci";
    hookTokenFile = "/etc/tokens/hook";
    uploadTokenFile = "/etc/tokens/upload";
  }};
  services.procurator.cache = {{
    enable = true;
    publicKeys = [ "{KEY}" ];
    uploadTokenFile = "/etc/tokens/upload";
  }};
  services.procurator.repohub = {{ enable = true; hookTokenFile = "/etc/tokens/hook"; }};
"""


async def evaluate(tmp_path: Path, lib: Path, body: str, *, deadline: float = 180) -> Any:
    """`body` as JSON, within `deadline` seconds; `lib`, our `modules` and `library`, `machine` and `jsonOf` (a file
    beside it) are there.
    """
    nix = NixEnvironment(tmp_path / "nix").write()
    expression = f"""
      let
        lib = import {lib};
        modules = import {NIX}/modules;
        library = import {NIX}/lib {{ }};
        machine = given: import {NIX}/checks/machine.nix {{ inherit lib; modules = given; }};
        jsonOf = name: builtins.fromJSON (builtins.readFile ({tmp_path} + "/${{name}}.json"));
      in
      {body}
    """
    return json.loads((await run(argvs.evaluate_expression(expression), deadline=deadline, env=nix.env)).stdout)


async def a_machine(tmp_path: Path, lib: Path, *written: str, wanted: str = "config") -> Any:
    """What a machine with all our services' modules and those `written` comes to, as `wanted` says of `config` and
    `failed`.
    """
    modules = " ".join(f"{{ {one} }}" for one in ("", *written))
    return await evaluate(
        tmp_path, lib, f"let it = machine [ modules.default {modules} ]; inherit (it) config failed; in {wanted}"
    )
