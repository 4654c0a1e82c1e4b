"""Keep which processes of a local cluster run, durably; it starts and stops none."""

import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cli.up.processes import ProcessId


class Recorded(BaseModel):
    """A service's process, and by what program and settings it was started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    process: ProcessId
    fingerprint: str


class Record(BaseModel):
    """What runs: `pcr up` itself and the services by their names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    supervisor: ProcessId | None = None
    services: dict[str, Recorded] = {}


def read_record(path: Path) -> Record:
    """What was last written; nothing runs where there is no record, or one of another version."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Record()


def write_record(path: Path, record: Record) -> None:
    """Replace the record as a whole."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with beside.open("w", encoding="utf-8") as stream:
        stream.write(record.model_dump_json(indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
