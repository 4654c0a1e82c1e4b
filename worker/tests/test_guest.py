"""Real guests of the example under the dev hypervisor: over their taps, through an agent's death, to their end."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio

from nix import commands
from nix.environment import NixEnvironment
from nix.example import prepare_clone
from nix.parts import make_parts
from schema.blueprint import CheckType, HealthCheck
from schema.errors import DeadlineExceeded, Unavailable
from schema.status import View, VmPhase
from schema.tests.processes import is_running
from schema.vmspec import VmSpec
from worker.tests.builders import a_spec
from worker.tests.fake_control_plane import FakeControlPlane, Wanted
from worker.tests.real_nix import KEY
from worker.tests.running import RunningWorker, a_worker, http_check, others_reach_our_programs
from worker.vmm.users import FIRST_ID

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "procurator"
PORTS = {"web": 80, "db": 5432}


async def build(worker: RunningWorker, *names: str) -> dict[str, str]:
    """The toplevels of VMs of the example, built here, signed and in the worker's cache."""
    nix = NixEnvironment(worker.home / "ci").write()
    clone = await prepare_clone(ROOT / "example", worker.home / "clone", await make_parts(CACHE), nix=nix)
    built = {}
    secret = worker.home / "ci.secret"
    secret.write_text(KEY.reveal())
    secret.chmod(0o600)
    for name in names:
        attribute = f"nixosConfigurations.{name}.config.system.build.toplevel"
        built[name] = (await commands.build(nix, await clone.flake(), attribute, jail=None, deadline=120)).out
        await commands.copy_to_cache(nix, [built[name]], cache=worker.publisher.url, secret_key=secret, deadline=60)
    return built


def a_real_spec(name: str, toplevel: str, **fields: object) -> VmSpec:
    root = Path(toplevel)
    kernel, initrd = (os.path.realpath(root / part) for part in ("kernel", "initrd"))
    return a_spec(
        name,
        memory_mb=128,
        **{  # type: ignore[arg-type]
            "start_deadline_ms": 90_000,
            "toplevel": toplevel,
            "kernel": kernel,
            "initrd": initrd,
            "cmdline": f"{(root / 'kernel-params').read_text().strip()} init={toplevel}/init",
            **fields,
        },
    )


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path that other users may pass through, so that the hypervisors get users of their own."""
    with tempfile.TemporaryDirectory(prefix="pcg-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.guest
async def test_real_guests_serve_over_their_taps_and_outlive_the_agent(home: Path) -> None:
    command = (shutil.which("procurator-vmm", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}") or "procurator-vmm",)
    settings = {"stop_timeout_ms": 240_000}
    async with a_worker(home, command=command, net="10.199.93", settings=settings.items()) as worker:
        cp = worker.control_plane
        built = await build(worker, "web", "db")
        volumes = {"data": {"size_mb": 64, "mount": "/var/lib/db"}}
        inside = HealthCheck(type=CheckType.COMMAND, command=("test", "-e", "/run/current-system"))
        web = a_real_spec("web", built["web"], checks=(*http_check(), inside), connect=("db:5432",))
        db = a_real_spec("db", built["db"], checks=(HealthCheck(type=CheckType.TCP, port=5432),), volumes=volumes)
        cp.assign(Wanted("web-0", web, number=2), Wanted("db-0", db, number=3))
        vms = await cp.until(lambda vms: {vm.phase for vm in vms.values()} == {VmPhase.HEALTHY}, seconds=120)
        assert (vms["web-0"].guest_view, vms["db-0"].guest_view) == (View.OK, View.UNKNOWN)
        if others_reach_our_programs():
            assert all(Path(f"/proc/{vm.pid}").stat().st_uid >= FIRST_ID for vm in vms.values()), "users of their own"
        print(json.dumps({name: vm.phase_ms for name, vm in vms.items()}))
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            assert (await http.get("http://10.199.93.2/")).status_code == 200
            counted = await http.get("http://10.199.93.3:5432/cgi-bin/count")
            await worker.end(signal.SIGKILL)
            assert (await http.get("http://10.199.93.2/")).status_code == 200, "it serves while the agent is away"
            cp.reports.clear()
            await worker.start()
            after = await cp.until(lambda vms: {vm.phase for vm in vms.values()} == {VmPhase.HEALTHY}, seconds=90)
            assert {name: vm.pid for name, vm in after.items()} == {name: vm.pid for name, vm in vms.items()}
            assert (await http.get("http://10.199.93.3:5432/cgi-bin/count")).text != counted.text
        assert b"web-0" in await console(worker, "web-0"), "the hostname came by DHCP"
        await commands_run_in(cp, "web-0")
        await the_console_is_a_shell_of(cp, "db-0")
        cp.assign()
        await cp.until(lambda vms: not vms, seconds=90)  # so the power button was obeyed: its deadline is later
        assert not any(is_running(vm.pid) for vm in vms.values())


async def commands_run_in(cp: FakeControlPlane, instance: str) -> None:
    assert cp.worker is not None
    vm = await cp.worker.get_vm(instance)
    done = await vm.exec("sh", ("-c", "hostname; cat; echo no >&2; exit 3"), stdin=b"given")
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"web-0\ngiven", b"no\n")
    names = await vm.exec("nslookup", ("db", "10.199.93.1"), deadline_ms=60_000)
    assert b"10.199.93.3" in names.stdout, names
    with pytest.raises(DeadlineExceeded, match="was killed after 1 s"):
        await vm.exec("sleep", ("60",), deadline_ms=1000)


async def the_console_is_a_shell_of(cp: FakeControlPlane, instance: str) -> None:
    class Screen:
        seen = b""

        async def write(self, data: bytes) -> None:
            self.seen += data

    assert cp.worker is not None
    screen, vm = Screen(), await cp.worker.get_vm(instance)
    attached = await vm.console(screen, columns=80, rows=24)
    await attached.write(b"\n")
    with trio.fail_after(90):
        while b"answer 42" not in screen.seen:
            await attached.write(b"echo answer $((6 * 7))\n")
            await trio.sleep(1)
    await attached.close()
    with pytest.raises(Unavailable):
        await attached.write(b"x")


async def console(worker: RunningWorker, instance: str) -> bytes:
    return await trio.Path(worker.state / "vms" / instance / "serial.log").read_bytes()
