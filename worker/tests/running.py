"""A worker as its own process against a fake control plane: real nix, taps and records, scripted guests."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tomli_w
import trio

from schema.blueprint import CheckType, HealthCheck
from schema.vmspec import VmSpec
from worker.tests.builders import a_spec
from worker.tests.fake_control_plane import KEY as CONTROL_PLANE_KEY
from worker.tests.fake_control_plane import FakeControlPlane, serving
from worker.tests.net_guests import IP, tool
from worker.tests.real_nix import KEY as CI_KEY
from worker.tests.real_nix import Publisher

FAKE = (sys.executable, "-m", "worker.vmm.fake")
ROOT = Path(__file__).parents[2]


@dataclass
class RunningWorker:
    """The program, its state directory below `home`, and the two it talks to."""

    home: Path
    publisher: Publisher
    control_plane: FakeControlPlane
    command: tuple[str, ...] = FAKE
    settings: dict[str, object] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.home / "w"

    @property
    def config(self) -> Path:
        return self.home / "worker.toml"

    @property
    def ready_file(self) -> Path:
        return self.home / "ready.json"

    @property
    def log(self) -> str:
        return (self.home / "worker.log").read_text()

    def write_config(self) -> None:
        settings = {
            "name": "w-0",
            "state": str(self.state),
            "stop_timeout_ms": 1500,
            "min_healthy_ms": 300,
            "control_plane": {"socket": str(self.home / "cp.sock"), "public_keys": [str(CONTROL_PLANE_KEY.public)]},
            "publishers": {"public_keys": [str(CI_KEY.public)]},
            "caches": {"urls": [self.publisher.url], "public_keys": [str(CI_KEY.public)]},
            "hypervisor": {"command": list(self.command)},
            "listen": {"http": "127.0.0.1:0"},
            "runtime": {"ready_file": str(self.ready_file)},
            **self.settings,
        }
        self.config.write_text(tomli_w.dumps(settings))

    async def start(self) -> None:
        """Start the agent and wait until it listens."""
        self.ready_file.unlink(missing_ok=True)
        with (self.home / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it is not waited for here
                (sys.executable, "-c", "from worker.app import main; main()", "--config", str(self.config)),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        with trio.move_on_after(60):
            while not self.ready_file.exists():
                assert self.process.poll() is None, self.log
                await trio.sleep(0.02)
            return
        raise AssertionError(f"the worker is not ready: {self.log}")

    async def end(self, number: int = signal.SIGTERM) -> None:
        """End the agent, and only it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            await trio.to_thread.run_sync(self.process.wait)

    def http(self) -> str:
        return str(json.loads(self.ready_file.read_text())["addresses"]["http"])

    async def stop_vms(self) -> None:
        """`procurator-worker --stop-vms`."""
        done = await trio.to_thread.run_sync(
            lambda: subprocess.run(
                (sys.executable, "-c", "from worker.app import main; main()", "--config", self.config, "--stop-vms"),
                capture_output=True,
                text=True,
                check=False,
                cwd=ROOT,
            )
        )
        assert done.returncode == 0, done.stderr

    def a_published_spec(self, name: str = "web", text: str = "one", *, script: str = "", **fields: object) -> VmSpec:
        """A spec whose closure is in the cache; `script` are the fake guest's words."""
        toplevel = self.publisher.a_folder(f"{name}-{text}", {"kernel": f"\x7fELF of {text}", "initrd": "initrd"})
        self.publisher.publish(toplevel)
        return a_spec(
            name,
            **{
                "nic": False,
                "checks": (),
                "toplevel": toplevel,
                "kernel": f"{toplevel}/kernel",
                "initrd": f"{toplevel}/initrd",
                "cmdline": f"init={toplevel}/init {script}".strip(),
                **fields,
            },  # type: ignore[arg-type]
        )


def http_check(port: int = 80) -> tuple[HealthCheck, ...]:
    return (HealthCheck(type=CheckType.HTTP, port=port),)


@asynccontextmanager
async def addresses_on_this_host(*addresses: str) -> AsyncIterator[None]:
    """Addresses that a fake guest can listen on: they win over the routes to their taps."""
    try:
        for address in addresses:
            tool(IP, "addr", "add", f"{address}/32", "dev", "lo")
        yield
    finally:
        for address in addresses:
            tool(IP, "addr", "del", f"{address}/32", "dev", "lo", check=False)


@asynccontextmanager
async def a_worker(
    home: Path, *, command: tuple[str, ...] = FAKE, net: str = "10.199.90", settings: Iterable[tuple[str, object]] = ()
) -> AsyncIterator[RunningWorker]:
    """A started worker whose VMs and network are taken away at the end. Its home is a short path: sockets are in it."""
    publisher = Publisher(home / "p")
    control_plane = FakeControlPlane(publisher=CI_KEY, net=net)
    worker = RunningWorker(home, publisher, control_plane, command, dict(settings))
    worker.write_config()
    async with serving(control_plane, home / "cp.sock"):
        try:
            await worker.start()
            yield worker
        finally:
            with trio.CancelScope(shield=True):
                await worker.end(signal.SIGKILL)
                await worker.stop_vms()
                shutil.rmtree(home / "w", ignore_errors=True)


def others_reach_our_programs() -> bool:
    """Whether hypervisors can run as users of their own: not where this checkout or its Python is in a private home."""
    programs = (Path(sys.executable).resolve(), ROOT / "dev")
    return all(place.stat().st_mode & 0o001 for program in programs for place in (program, *program.parents))
