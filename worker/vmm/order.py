"""What a shim is told to hold, as the worker, the spawner and the shim all read it; it does nothing.

Standard library only, and little of it: it is part of the shim, which runs beside every VM.
"""

import json

from worker.vmm.confinement import Confinement
from worker.vmm.fence import NONE

STARTED = b"started"
"""What a shim reports when its hypervisor has been started; else an exit code, a space and why."""
FAILED = 1
ALREADY_HELD = 3


class Order:
    """What a shim is to hold: an absolute runtime directory, the serial log's cap, the hypervisor's argv.

    `lease` is the lease file of a fenced VM. `module`: the hypervisor is a loaded module of ours, whose `main` is
    called; `command` is then its `sys.argv`.
    """

    __slots__ = ("command", "confinement", "directory", "lease", "log_bytes", "module")

    def __init__(
        self,
        directory: str,
        *,
        command: list[str],
        log_bytes: int,
        lease: str = NONE,
        confinement: Confinement | None = None,
        module: str = "",
    ) -> None:
        self.directory = directory
        self.command = command
        self.log_bytes = log_bytes
        self.lease = lease
        self.confinement = confinement or Confinement()
        self.module = module

    def to_text(self) -> str:
        """As one message to the spawner."""
        held_in = self.confinement.to_text()
        return json.dumps([self.directory, self.command, self.log_bytes, self.lease, held_in, self.module])

    @classmethod
    def from_text(cls, text: str) -> "Order":
        """Read what `to_text` wrote; raises ValueError."""
        directory, command, log_bytes, lease, held_in, module = json.loads(text)
        confinement = Confinement.from_text(held_in)
        return cls(directory, command=command, log_bytes=log_bytes, lease=lease, confinement=confinement, module=module)
