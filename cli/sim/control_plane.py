"""A real control plane of its own for a simulated fleet: settings, keys and a process in a directory that goes away."""

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trio

from cli.sim.options import SimOptions
from cli.up.certificates import ensure_certificates
from cli.up.cluster import executables
from cli.up.credentials import write_once
from cli.up.layout import Files
from cli.up.processes import ProcessId, is_alive, spawn, stop
from schema.errors import Internal
from schema.signing import SecretKey

START_SECONDS = 30.0
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Simulated:
    """A control plane that runs: its process, its socket, its TCP port, who may publish, and whom to believe."""

    process: ProcessId
    socket: Path
    port: int
    publisher: SecretKey
    ca: Path | None

    def memory_mb(self) -> tuple[float, float]:
        """What it holds now, and the most that it held (MiB of VmRSS and VmHWM)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        now, most = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, most

    def cpu_seconds(self) -> float:
        """Processor time that it has used."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def settings_of(directory: Path, options: SimOptions, *, publisher: SecretKey, files: Files | None) -> str:
    """The control plane's settings file."""
    lines = [
        "[listen]",
        f'rpc = "{HOST}:0"',
        f'http = "{HOST}:0"',
        f'socket = "{directory}/rpc.sock"',
        "[database]",
        f'url = "sqlite:///{directory}/state.sqlite"',
        "[keys]",
        f'assignment = "{directory}/assignment.key"',
        f'publishers = ["{publisher.public}"]',
        "[network]",
        'range = "10.0.0.0/8"',
        "[workers]",
        'policy = "auto"',
        f'auto_networks = ["{HOST}/32"]',
        "[liveness]",
        f"interval_ms = {options.interval_ms}",
        "[runtime]",
        f'ready_file = "{directory}/ready.json"',
    ]
    if files:
        lines += ["[tls]", f'certificate = "{files.certificate}"', f'key = "{files.key}"']
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def simulated(directory: Path, options: SimOptions, *, now: datetime) -> AsyncIterator[Simulated]:
    """The program `procurator-control-plane`, until the context is left. `now` is for certificates.

    Raises Internal when it does not start; its log is `control-plane.log` in `directory`.
    """
    publisher = SecretKey.from_seed("simulated-ci", secrets.token_bytes(32))
    own = SecretKey.from_seed("simulated-control-plane", secrets.token_bytes(32))
    write_once(directory / "assignment.key", own.reveal)
    files = Files(directory) if options.tls else None
    if files:
        ensure_certificates(files, names=[HOST], now=now)
    config, ready, log = (directory / name for name in ("control-plane.toml", "ready.json", "control-plane.log"))
    config.write_text(settings_of(directory, options, publisher=publisher, files=files), encoding="utf-8")
    argv = [str(executables() / "procurator-control-plane"), "--config", str(config), "--log-level", "warning"]
    process = spawn(argv, env=dict(os.environ), log=log, cwd=directory)
    try:
        port = await _port(process, ready, log)
        yield Simulated(process, directory / "rpc.sock", port, publisher, files.ca if files else None)
    finally:
        with trio.CancelScope(shield=True):
            await stop(process)


async def _port(process: ProcessId, ready: Path, log: Path) -> int:
    with trio.move_on_after(START_SECONDS):
        while is_alive(process):
            if ready.exists():
                told = json.loads(ready.read_text(encoding="utf-8"))["addresses"]
                return int(str(told["rpc"]).rpartition(":")[2])
            await trio.sleep(0.05)
    raise Internal(f"the control plane did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
