"""What guest.nix declares, in a VM of a real worker: no NixOS, but its units, run by this machine's systemd."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from nix.tests.modules import evaluate
from nix.tests.places import REPOSITORY, STAND_IN_LIB, parts
from schema.blueprint import CheckType, HealthCheck
from schema.status import VmPhase
from schema.vmspec import VmSpec
from tests.e2e.debian_system import is_possible, make_system
from worker.tests.builders import a_spec
from worker.tests.fake_control_plane import FakeControlPlane, Wanted
from worker.tests.running import RunningWorker, a_worker

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]
DECLARED = """
  let
    inherit (machine [ modules.guest {
      procurator.guest = { volumes.data.mount = "/var/lib/data"; env.GREETING = "hello you"; };
    } ]) config;
  in {
    inherit (config) fileSystems;
    inherit (config.systemd) services;
    inherit (config.boot) kernelParams;
    local-fs = config.systemd.targets.local-fs.unitConfig;
    inherit (config.systemd.network) networks;
    tmpfiles = config.systemd.tmpfiles.rules;
    environment = config.systemd.globalEnvironment;
  }
"""
BOOTED = HealthCheck(type=CheckType.COMMAND, command=("systemctl", "is-active", "multi-user.target"))


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path that other users may pass through, so that the hypervisors get users of their own."""
    with tempfile.TemporaryDirectory(prefix="pcn-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


async def a_guest(worker: RunningWorker, tmp_path: Path) -> VmSpec:
    """Published in the worker's cache."""
    declared = await evaluate(tmp_path, STAND_IN_LIB, DECLARED)
    folder = tmp_path / "system"
    made = await parts()
    await make_system(folder, declared, made)
    publisher = worker.publisher
    toplevel = publisher.run("store", "add-path", *publisher.store, "--name", "system", str(folder))
    await trio.to_thread.run_sync(lambda: publisher.publish(toplevel))
    return a_spec(
        "db",
        memory_mb=512,
        toplevel=toplevel,
        kernel=f"{toplevel}/kernel",
        initrd=f"{toplevel}/initrd",
        cmdline=f"{' '.join(declared['kernelParams'])} net.ifnames=0 init={toplevel}/init",
        volumes={"data": {"size_mb": 64, "mount": "/var/lib/data"}},
        checks=(BOOTED,),
        start_deadline_ms=240_000,
    )


async def said(cp: FakeControlPlane, *command: str) -> str:
    assert cp.worker is not None
    done = await (await cp.worker.get_vm("db-0")).exec(command[0], command[1:], deadline_ms=60_000)
    assert (done.exit_code, done.stderr) == (0, b""), done
    return done.stdout.decode().strip()


async def test_what_a_nixos_guest_declares_is_what_a_worker_gives(home: Path, tmp_path: Path) -> None:
    if not is_possible():
        pytest.skip("this machine has no systemd with networkd, udev and dbus to lend to a guest")
    program = (
        shutil.which("procurator-vmm", path=f"{REPOSITORY / '.venv/bin'}:{os.environ['PATH']}") or "procurator-vmm"
    )
    settings: dict[str, Any] = {"stop_timeout_ms": 90_000}
    async with a_worker(home, command=(program,), net="10.199.96", settings=settings.items()) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("db-0", await a_guest(worker, tmp_path), number=2))
        await cp.until(lambda vms: {vm.phase for vm in vms.values()} == {VmPhase.HEALTHY}, seconds=300)
        assert (await said(cp, "findmnt", "-n", "-o", "FSTYPE", "/nix/store")) == "erofs"
        assert (await said(cp, "findmnt", "-n", "-o", "FSTYPE", "/var/lib/data")) == "ext4"
        assert (await said(cp, "systemctl", "is-active", "local-fs.target")) == "active"
        assert (await said(cp, "uname", "-n")) == "db-0"
        assert "10.199.96.2/" in await said(cp, "ip", "-4", "-o", "addr", "show", "dev", "eth0")
        assert "GREETING=hello you" in await said(cp, "systemctl", "show", "-P", "Environment", "procurator-agent")
        cp.assign()
        await cp.until(lambda vms: not vms, seconds=120)
        (serial,) = worker.state.rglob("serial.log")
        assert b"reboot: Power down" in serial.read_bytes()
