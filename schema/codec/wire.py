"""The wire schemas, loaded once; they are written in `schema/*.capnp` and nowhere else."""

from pathlib import Path
from typing import Any

import capnp

_SCHEMAS = Path(__file__).resolve().parent.parent

common: Any = capnp.load(str(_SCHEMAS / "common.capnp"))
operations: Any = capnp.load(str(_SCHEMAS / "operations.capnp"))
worker: Any = capnp.load(str(_SCHEMAS / "worker.capnp"))
master: Any = capnp.load(str(_SCHEMAS / "master.capnp"))
