"""One VM's runtime directory: where everything lies, and the record of what was booted; it starts and ends nothing."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from schema.errors import InvalidInput
from worker.vmm.shim_files import OWN_DIRECTORY

LONGEST_SOCKET = "control.sock"
MAX_SOCKET_PATH_BYTES = 107
BOOT_RECORD = "booted.json"


@dataclass(frozen=True, slots=True)
class RuntimeDir:
    """The directory (0700) of one VM, with the names in it. `path` is absolute and short enough for a unix socket."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_absolute():
            raise InvalidInput(f"runtime directory: {self.path} is not absolute")
        if len(os.fsencode(self.path / LONGEST_SOCKET)) > MAX_SOCKET_PATH_BYTES:
            raise InvalidInput(f"runtime directory: {self.path} is too long for a unix socket in it")

    @property
    def own(self) -> Path:
        """What the hypervisor itself makes; whoever trusts a socket in it asks who listens there (`peer.py`)."""
        return self.path / OWN_DIRECTORY

    @property
    def api_socket(self) -> Path:
        """The hypervisor's REST API; the shim listens on it and hands it down, so that nobody can put another there."""
        return self.path / "api.sock"

    @property
    def serial_socket(self) -> Path:
        """The guest's serial console; `VmConfig.serial_socket` names it, the shim drains it."""
        return self.own / "tty.sock"

    @property
    def vsock_socket(self) -> Path:
        """The guest's agent; `VmConfig.vsock_socket` names it."""
        return self.own / "vsock.sock"

    @property
    def control_socket(self) -> Path:
        """The shim's."""
        return self.path / "control.sock"

    @property
    def serial_log(self) -> Path:
        """The newest of the guest's console; what came before it is in `serial.log.1`."""
        return self.path / "serial.log"

    @property
    def hypervisor_log(self) -> Path:
        """The newest of what the hypervisor itself said; before it `hypervisor.log.1`."""
        return self.path / "hypervisor.log"

    @property
    def process_record(self) -> Path:
        """The shim's record of the process: ids, start times, exit."""
        return self.path / "process.json"


@dataclass(frozen=True, slots=True)
class BootRecord:
    """What a VM was booted with, and what is active in it (another one after a switch in place); content hashes.

    `layers`: all whose closures it has mounted, the booted one first.
    """

    booted: str
    active: str
    layers: tuple[str, ...] = ()


def write_boot_record(directory: RuntimeDir, record: BootRecord) -> None:
    """Replace the record, which is never half there. It speaks of a process: a power cut may take both."""
    fresh = directory.path / f".{BOOT_RECORD}.new"
    told = {"booted": record.booted, "active": record.active, "layers": record.layers}
    fresh.write_text(json.dumps(told), encoding="utf-8")
    fresh.replace(directory.path / BOOT_RECORD)


def read_boot_record(directory: RuntimeDir) -> BootRecord | None:
    """The record, or None where there is none that can be read."""
    try:
        found = json.loads((directory.path / BOOT_RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    match found:
        case {"booted": str(booted), "active": str(active)}:
            layers = found.get("layers")
            known = tuple(map(str, layers)) if isinstance(layers, list) and layers else (booted,)
            return BootRecord(booted=booted, active=active, layers=known)
    return None


def read_log(log: Path, *, max_bytes: int) -> bytes:
    """The last `max_bytes` of a capped log, across both of its files; empty where there is none yet."""
    kept = b""
    for part in (log, log.with_name(f"{log.name}.1")):
        try:
            with part.open("rb") as opened:
                size = opened.seek(0, os.SEEK_END)
                opened.seek(max(0, size - (max_bytes - len(kept))))
                kept = opened.read() + kept
        except FileNotFoundError:
            continue
        if len(kept) >= max_bytes:
            break
    return kept[len(kept) - max_bytes :] if len(kept) > max_bytes else kept
