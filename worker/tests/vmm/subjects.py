"""The hypervisors that the contract is held to, and how a test runs one; it knows no case."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from schema.errors import Unavailable
from worker.tests.vmm import tiny_kernel
from worker.vmm.client import CloudHypervisor
from worker.vmm.config import Disk, Nic, VmConfig
from worker.vmm.port import Hypervisor, VmAction

REAL = "PROCURATOR_CLOUD_HYPERVISOR"
COMMANDS = {
    "fake": (sys.executable, "-m", "worker.vmm.fake"),
    "dev": (sys.executable, "-m", "worker.vmm.dev.app"),
    "real": (os.environ.get(REAL, ""),),
}
REAL_ONE = pytest.param(
    "real", marks=pytest.mark.skipif(REAL not in os.environ, reason=f"no real cloud-hypervisor: set {REAL} to its path")
)
PROCESSES = ("fake", "dev", REAL_ONE)
PATIENCE = 60.0
"""Seconds for what comes at once on a quiet machine: this one may be busy with others."""
MEMORY_BYTES = 32 * 2**20


@contextmanager
def a_folder() -> Iterator[Path]:
    """A directory whose path is short enough for unix sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="vmm-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def a_kernel(folder: Path, code: bytes | None = None) -> Path:
    """A kernel file of a few bytes that halts, or does what `code` does."""
    path = folder / "kernel"
    path.write_bytes(tiny_kernel.halting() if code is None else code)
    return path


def a_disk(folder: Path, name: str = "disk.raw") -> Path:
    """An empty raw disk of 1 MiB."""
    path = folder / name
    path.write_bytes(bytes(2**20))
    return path


def a_config(
    folder: Path,
    *,
    kernel: Path | None = None,
    initrd: Path | None = None,
    disks: tuple[Disk, ...] = (),
    nics: tuple[Nic, ...] = (),
    cmdline: str = "console=ttyS0",
) -> VmConfig:
    """The smallest VM that boots everywhere."""
    return VmConfig(
        cpus=1,
        memory_bytes=MEMORY_BYTES,
        kernel=str(kernel or a_kernel(folder)),
        initrd=None if initrd is None else str(initrd),
        cmdline=cmdline,
        serial_socket=str(folder / "serial.sock"),
        disks=disks,
        nics=nics,
    )


@dataclass(slots=True)
class Running:
    """A started hypervisor process and a client of it."""

    process: "subprocess.Popen[bytes]"
    client: CloudHypervisor
    folder: Path
    socket_path: Path
    stderr: Path = field(default=Path())

    async def exit_code(self, seconds: float = PATIENCE) -> int:
        """Wait for its end."""
        with trio.fail_after(seconds):
            while self.process.poll() is None:  # noqa: ASYNC110 - a process tells no event
                await trio.sleep(0.005)
        return self.process.returncode

    def raw(self) -> socket.socket:
        """A plain connection to the API."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE)
        connection.connect(str(self.socket_path))
        return connection

    def left(self) -> set[str]:
        """The sockets and locks beside the API socket, the socket included."""
        return {path.name for path in self.folder.iterdir() if ".sock" in path.name}


@asynccontextmanager
async def running(subject: str, folder: Path, *flags: str) -> AsyncIterator[Running]:
    """A subject as a process that answers its first ping; killed at the end if it still lives."""
    socket_path = folder / "api.sock"
    stderr = folder / "stderr"
    argv = [*COMMANDS[subject], "--api-socket", str(socket_path), *flags]
    with stderr.open("wb") as words:
        process = subprocess.Popen(  # noqa: ASYNC220 - starting one takes a millisecond
            argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words
        )
    try:
        async with CloudHypervisor(str(socket_path), quick_seconds=PATIENCE, boot_seconds=PATIENCE) as client:
            await until_ready(client, process, stderr)
            yield Running(process=process, client=client, folder=folder, socket_path=socket_path, stderr=stderr)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


async def until_ready(client: CloudHypervisor, process: "subprocess.Popen[bytes]", stderr: Path) -> None:
    """Wait for the first answer to a ping."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                await client.ping()
                return
            except Unavailable:
                assert process.poll() is None, stderr.read_text()
                await trio.sleep(0.005)


async def create_and_boot(hypervisor: Hypervisor, config: VmConfig) -> None:
    """A VM that runs; raises HypervisorRefused, and leaves what that leaves."""
    await hypervisor.create(config)
    await hypervisor.act(VmAction.BOOT)


def request(method: str, endpoint: str, body: bytes | None = None, *, headers: str = "") -> bytes:
    """One HTTP request as bytes; a length is sent only with a body."""
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    return f"{method} /api/v1/{endpoint} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n".encode() + (body or b"")


def response(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one HTTP response by its Content-Length: status, headers in lower case, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += received(connection)
    return int(status_line.split(" ")[1]), headers | {"status-line": status_line}, body


def received(connection: socket.socket) -> bytes:
    """More bytes; a closed connection fails the test."""
    data = connection.recv(65_536)
    assert data, "the connection was closed"
    return data


def ask(started: Running, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes on a connection of its own and read one response."""
    with started.raw() as connection:
        connection.sendall(sent)
        return response(connection)


def told(path: Path) -> list[tuple[str, str]]:
    """The events in a monitor's file: pretty-printed objects with empty lines between."""
    parts = [json.loads(part) for part in path.read_text().split("\n\n") if part.strip()]
    return [(part["source"], part["event"]) for part in parts]
