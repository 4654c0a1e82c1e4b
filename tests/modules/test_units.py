"""The services' units are understood by systemd: no key that it does not know, no value that it would ignore."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from nix.run import run
from nix.tests.modules import MACHINES, SERVICES, WORKER, a_machine
from nix.tests.units import unit

VERIFY = ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no")
UNITS = {f"procurator-{name}" for name in ("control-plane", "worker", "vms", "ci", "cache", "repohub")}
PROGRAM = re.compile(r"^(Exec\w+=\+?)/nix/store/\S+", re.MULTILINE)


async def complaints(tmp_path: Path, name: str, service: dict[str, Any]) -> str:
    """What systemd says of a unit whose programs are all `true`, as those of the test are nowhere."""
    if shutil.which(VERIFY[0]) is None:
        pytest.skip("this machine has no systemd-analyze")
    file = tmp_path / f"{name}.service"
    entries = {key.capitalize(): " ".join(service[key]) for key in ("wants", "after") if service[key]}
    text = unit({"Unit": {**entries, **service["unitConfig"]}, "Service": service["serviceConfig"]})
    file.write_text(PROGRAM.sub(r"\1/bin/true", text))
    return (await run((*VERIFY, str(file)), deadline=30, env={}, check=False)).stderr.decode().strip()


async def test_systemd_understands_every_unit(tmp_path: Path, lib: Path) -> None:
    services = await a_machine(tmp_path, lib, MACHINES, WORKER, SERVICES, wanted="config.systemd.services")
    assert set(services) == UNITS
    said = {name: await complaints(tmp_path, name, service) for name, service in services.items()}
    assert said == dict.fromkeys(UNITS, "")


async def test_systemd_does_not_understand_a_misspelt_key(tmp_path: Path, lib: Path) -> None:
    services = await a_machine(tmp_path, lib, MACHINES, WORKER, wanted="config.systemd.services")
    worker = services["procurator-worker"]
    worker["serviceConfig"]["KilMode"] = worker["serviceConfig"].pop("KillMode")
    assert "'KilMode' in section" in await complaints(tmp_path, "procurator-worker", worker)
