"""`pcr up` and `pcr down` with the real services, as programs; no VM is booted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from cli.up.cluster import require_tun
from cli.up.layout import Files, StateDir
from cli.up.plan import Ports, programs
from cli.up.prepare import free_offset
from cli.up.processes import ProcessId, is_alive
from cli.up.record import read_record
from cli.up.supervise import processes_of
from schema.errors import Unavailable

ROOT = Path(__file__).resolve().parents[3]
PCR = Path(sys.executable).with_name("pcr")
SERVICES = {"control-plane", "cache", "ci", "repohub", "worker-0"}


@dataclass
class Machine:
    """A state directory, short enough for sockets, and the `pcr`s that were started for it."""

    state: StateDir
    offset: int
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def up(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [PCR, "up", "--state", str(self.state.root), "--port-offset", str(self.offset)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def up_and_ready(self) -> subprocess.Popen[str]:
        process = self.up()
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                return process
        raise AssertionError("".join(said))

    def down(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PCR, "down", "--state", str(self.state.root), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def services(self) -> dict[str, ProcessId]:
        return {name: service.process for name, service in read_record(self.state.record).services.items()}


@pytest.fixture
def machine() -> Iterator[Machine]:
    assert os.geteuid() == 0, "pcr up needs root"
    root = Path(tempfile.mkdtemp(prefix="pcr-up-", dir="/tmp"))
    machine = Machine(StateDir.at(root / "s"), free_offset(workers=1))
    yield machine
    machine.down()
    for process in machine.started:
        process.kill()
        process.communicate()
    shutil.rmtree(root, ignore_errors=True)


def status_of(url: str) -> int:
    return httpx.get(url, timeout=60, trust_env=False).status_code


def wait_until_gone(process: ProcessId) -> None:
    for _ in range(1200):
        if not is_alive(process):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process} is still there")


def test_up_serves_survives_kills_and_goes_down_whole(machine: Machine) -> None:
    first = machine.up_and_ready()
    ports = Ports(machine.offset)
    assert status_of(f"http://127.0.0.1:{ports.repohub}/") == 200
    assert status_of(f"http://127.0.0.1:{ports.control_plane}/healthz") == 200
    assert status_of(f"http://127.0.0.1:{ports.cache}/nix-cache-info") == 200
    assert status_of(f"http://127.0.0.1:{ports.ci}/v1/builds") == 200
    assert status_of(f"http://127.0.0.1:{ports.worker(0)}/ping") == 200
    before = machine.services()
    assert set(before) == SERVICES

    refused = machine.up()
    said, _ = refused.communicate(timeout=120)
    assert refused.returncode == 1
    assert f"(pid {first.pid})" in said
    assert "pcr down" in said

    os.kill(before["cache"].pid, signal.SIGKILL)
    wait_until_gone(before["cache"])
    first.kill()
    first.wait()
    second = machine.up_and_ready()
    after = machine.services()
    assert {name for name in SERVICES if after[name] != before[name]} == {"cache"}
    assert status_of(f"http://127.0.0.1:{ports.cache}/nix-cache-info") == 200

    ended = machine.down()
    assert ended.returncode == 0, ended.stderr
    assert second.wait(timeout=60) == 0
    assert processes_of(machine.state, programs(machine.state, workers=1)) == set()


def test_a_signal_stops_the_services_and_down_twice_is_no_error(machine: Machine) -> None:
    process = machine.up_and_ready()
    services = machine.services()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "the VMs run on" in said
    assert not any(is_alive(service) for service in services.values())
    assert machine.down().returncode == 0
    assert machine.down("--keep-vms").returncode == 0


def test_down_without_a_cluster_says_so(machine: Machine) -> None:
    refused = machine.down()
    assert refused.returncode == 1
    assert "there is no local cluster" in refused.stderr


def test_a_machine_without_taps_is_told_so_before_anything_starts(tmp_path: Path) -> None:
    require_tun(Path("/dev/null"))
    with pytest.raises(Unavailable, match="modprobe tun"):
        require_tun(tmp_path / "tun")


def test_its_tcp_port_speaks_tls_with_its_own_ca_and_its_workers_are_let_in(machine: Machine) -> None:
    first = machine.up_and_ready()
    files, before = Files(machine.state.tls), machine.services()
    token = machine.state.root / "ops-token"

    def pcr(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PROCURATOR_STATE": str(machine.state.root)}
        return subprocess.run([PCR, *arguments], capture_output=True, text=True, timeout=120, check=False, env=env)

    def far(*arguments: str, ca: bool = True, name: str = "127.0.0.1") -> subprocess.CompletedProcess[str]:
        address = f"{name}:{Ports(machine.offset).rpc}"
        believed = ("--ca", str(files.ca)) if ca else ()
        return pcr("--connect", address, "--token-file", str(token), *believed, *arguments)

    (worker,) = json.loads(pcr("worker", "ls", "-o", "json").stdout)
    assert (worker["workerId"], worker["admission"], worker["decidedBy"]) == ("worker-0", "approved", "policy auto")
    made = pcr("token", "create", "ops", "--role", "admin", "--lasts", "1h")
    token.touch(mode=0o600)
    token.write_text(made.stdout)
    for name in ("127.0.0.1", "localhost"):
        told = far("status", name=name)
        assert "worker-0" in told.stdout, told.stderr
    assert far("status", ca=False).returncode == 75
    assert far("token", "revoke", "ops").returncode == 0
    assert "unknown, revoked or expired token" in far("status").stderr

    first.kill()
    first.wait()
    files.certificate.unlink()  # as if it had been due
    machine.up_and_ready()
    after = machine.services()
    assert {name for name in SERVICES if after[name] != before[name]} == {"control-plane"}
    token.write_text(pcr("token", "create", "later", "--role", "viewer").stdout)
    assert far("status").returncode == 0
