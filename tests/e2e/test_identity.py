"""A machine that comes, works and goes, as the real programs have it: a control plane elsewhere, TLS, a join token.

No guest is booted.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import tomli_w
import trio

from cli.up.certificates import ensure_certificates
from cli.up.layout import Files
from schema.errors import ProcuratorError
from schema.interfaces import Role
from schema.operations import Admission
from schema.rpc.client import RemoteMaster, open_session
from schema.rpc.transport.sockets import UnixAddress
from schema.signing import SecretKey
from schema.tests.ports import a_quiet_port

SECONDS = 60.0


@dataclass
class Site:
    """Two machines' worth of files below one short directory, and the programs that run on them."""

    root: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def socket(self) -> UnixAddress:
        return UnixAddress(self.root / "cp.sock")

    def addresses(self, name: str) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.root / f"{name}.ready").read_text())["addresses"]
        return found

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(errors="replace")

    async def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Start a program from settings, and wait until it listens."""
        config, ready = self.root / f"{name}.toml", self.root / f"{name}.ready"
        ready.unlink(missing_ok=True)
        config.write_text(tomli_w.dumps({**settings, "runtime": {"ready_file": str(ready)}}))
        program = Path(sys.executable).with_name(f"procurator-{name}")
        with (self.root / f"{name}.log").open("ab") as log:
            argv = (program, "--config", config)
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)  # noqa: ASYNC220
        await self.until(ready.exists)

    async def end(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        await trio.to_thread.run_sync(process.wait)

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.move_on_after(SECONDS):
            while True:
                if holds():
                    return
                assert all(process.poll() is None for process in self.running.values()), self.logs()
                await trio.sleep(0.05)
        raise AssertionError(self.logs())

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-2000:]}" for path in sorted(self.root.glob("*.log")))

    async def ping(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The worker's first answer that `holds`."""
        async with httpx.AsyncClient(
            base_url=f"http://{self.addresses('worker')['http']}", trust_env=False, timeout=SECONDS
        ) as http:
            with trio.move_on_after(SECONDS):
                while True:
                    told: dict[str, Any] = (await http.get("/ping")).json()
                    if holds(told):
                        return told
                    await trio.sleep(0.05)
        raise AssertionError(f"{told}\n{self.logs()}")

    @asynccontextmanager
    async def master(self) -> AsyncIterator[RemoteMaster]:
        async with open_session(self.socket, Role.ADMIN) as master:
            yield master


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    assert os.geteuid() == 0, "the worker needs root for its network"
    site = Site(Path(tempfile.mkdtemp(prefix="pcr-id-", dir="/tmp")))
    try:
        yield site
    finally:
        with trio.CancelScope(shield=True):
            for name in tuple(site.running):
                await site.end(name)
            stop = (Path(sys.executable).with_name("procurator-worker"), "--config", site.root / "worker.toml")
            await trio.to_thread.run_sync(
                lambda: subprocess.run((*stop, "--stop-vms"), check=False, timeout=2 * SECONDS)
            )
            shutil.rmtree(site.root)


def control_plane(site: Site, files: Files, *, key: SecretKey, ci: SecretKey, **more: Any) -> dict[str, Any]:
    secret = site.root / "assignment.key"
    secret.touch(mode=0o600)
    secret.write_text(key.reveal())
    return {
        "listen": {"rpc": f"127.0.0.1:{a_quiet_port()}", "socket": str(site.socket.path), "http": "127.0.0.1:0"},
        "tls": {"certificate": str(files.certificate), "key": str(files.key)},
        "database": {"url": f"sqlite:///{site.root}/state.sqlite"},
        "keys": {"assignment": str(secret), "publishers": [str(ci.public)]},
        "workers": {"policy": "token"},
        **more,
    }


def worker(site: Site, address: str, *, ca: Path, key: SecretKey, ci: SecretKey) -> dict[str, Any]:
    return {
        "name": "rack-7",
        "state": str(site.root / "w"),
        "location": "rack 7",
        "control_plane": {
            "address": address,
            "ca": str(ca),
            "join_token_file": str(site.root / "join"),
            "public_keys": [str(key.public)],
        },
        "publishers": {"public_keys": [str(ci.public)]},
        "caches": {"urls": ["http://127.0.0.1:9"], "public_keys": [str(ci.public)]},
        "listen": {"http": "127.0.0.1:0"},
        "hypervisor": {"command": [sys.executable, "-m", "worker.vmm.fake"]},
        "report_interval_ms": 200,
    }


async def test_a_machine_comes_by_tls_works_and_goes_for_good(site: Site) -> None:
    key, ci = (SecretKey.from_seed(name, secrets.token_bytes(32)) for name in ("control-plane-1", "ci-1"))
    files = Files(site.root)
    ensure_certificates(files, names=("127.0.0.1",), now=datetime.now(UTC))
    await site.start("control-plane", control_plane(site, files, key=key, ci=ci))
    address = site.addresses("control-plane")["rpc"]
    fixed = control_plane(site, files, key=key, ci=ci)
    fixed["listen"]["rpc"] = address
    settings = worker(site, address, ca=files.ca, key=key, ci=ci)

    await site.start("worker", settings)
    told = await site.ping(lambda told: told["admission"] == "pending")
    async with site.master() as master:
        (asked,) = await master.list_workers()
        assert (asked.fingerprint, asked.facts.location) == (told["fingerprint"], "rack 7")
        assert (asked.admission, asked.peer) == (Admission.PENDING, "127.0.0.1")
        token = site.root / "join"
        token.touch(mode=0o600)
        token.write_text(await master.create_join_token(worker_id="rack-7"))
    await site.ping(lambda told: told["connected"])

    await site.end("control-plane")
    await site.start("control-plane", fixed)
    await site.ping(lambda told: told["connected"] and told["reason"] == "")
    async with site.master() as master:
        (known,) = await master.list_workers()
        assert known.decided_by == "join token of uid:0"
        await master.retire_worker("rack-7", reason="sold")
    told = await site.ping(lambda told: told["admission"] == "retired")
    assert not told["connected"]
    assert "was retired: sold" in told["reason"]

    await site.end("worker")
    (site.root / "w" / "worker.key").unlink()
    await site.start("worker", settings)
    refused = await site.ping(lambda told: "used already" in told["reason"])
    assert refused["fingerprint"] != told["fingerprint"]
    (site.root / "join").unlink()
    await site.ping(lambda told: told["admission"] == "pending")
    async with site.master() as master:
        await master.approve_worker("rack-7")
        await site.ping(lambda told: told["connected"])
        done = [entry.action for entry in await master.list_audit(limit=0, before=0)][::-1]
        # The retired worker's refused logins are written too, as many as it tried.
        assert [action for action in done if action != "Gateway.login"] == [
            "join", "createJoinToken", "join", "retireWorker", "join", "approveWorker",
        ]  # fmt: skip
        assert (await master.verify_audit()).holds


async def test_a_worker_believes_no_other_control_plane(site: Site) -> None:
    key, ci = (SecretKey.from_seed(name, secrets.token_bytes(32)) for name in ("control-plane-1", "ci-1"))
    now = datetime.now(UTC)
    ours, others = Files(site.root / "ours"), Files(site.root / "others")
    for files in (ours, others):
        files.directory.mkdir()
        ensure_certificates(files, names=("127.0.0.1",), now=now)
    await site.start("control-plane", control_plane(site, ours, key=key, ci=ci))
    address = site.addresses("control-plane")["rpc"]
    await site.start("worker", worker(site, address, ca=others.ca, key=key, ci=ci))
    await site.ping(lambda told: "the server's certificate is not believed" in told["reason"])
    async with site.master() as master:
        assert await master.list_workers() == ()
    with pytest.raises(ProcuratorError):
        async with open_session(site.socket, Role.WORKER):
            pass
