"""The allow-listed forms of names, paths and numbers that cross a border; it holds no values of its own."""

import ipaddress
import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

STORE_PATH_PATTERN = r"/nix/store/[0-9a-df-np-sv-z]{32}-[0-9a-zA-Z+\-._?=]{1,211}"

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A DNS label (RFC 1123): lower case, at most 63 characters."""

InstanceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?-[0-9]{1,5}$")]
"""`<vm>-<n>`, numbered from 0: `db-0`."""

StorePath = Annotated[str, StringConstraints(pattern=rf"^{STORE_PATH_PATTERN}$")]
"""A whole store path, without anything behind it."""

StoreFile = Annotated[str, StringConstraints(pattern=rf"^{STORE_PATH_PATTERN}(/[0-9a-zA-Z+\-._?=]{{1,255}}){{0,8}}$")]
"""A store path or a file below one."""

Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CommitSha = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""A full git object name."""

RepositoryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62}$")]
"""`owner/name` as repohub has it."""

BranchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}$")]
FlakeAttribute = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_'-]{0,100}(\.[A-Za-z_0-9][A-Za-z0-9_'-]{0,100}){0,15}$"),
]
GenerationNumber = Annotated[int, Field(ge=1, le=2**53 - 1)]
"""Generations count from 1; the bound is what JSON numbers carry exactly."""

MAX_CMDLINE = 2047
"""Bytes of a kernel command line on x86-64 (COMMAND_LINE_SIZE without its closing zero)."""

_UNSAFE = re.compile(
    r"(?:\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u202a-\u202e\u2066-\u2069\ud800-\udfff])"
)
"""Escape sequences, control characters, what turns the direction of writing, and halves of surrogate pairs."""


def printable(text: str) -> str:
    """`text` without escape sequences and control characters (tab and newline stay), for terminals, pages and UTF-8."""
    return _UNSAFE.sub("", text)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`: an address of 127/8, ::1 or `localhost`; brackets are ignored."""
    plain = host.removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(plain).is_loopback
    except ValueError:
        return plain.lower() == "localhost"


class StrictModel(BaseModel):
    """A frozen value whose JSON form is camelCase and refuses unknown keys: for what people write."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class WireModel(BaseModel):
    """A frozen value whose JSON form is camelCase and tolerates unknown keys: for what other versions send."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )
