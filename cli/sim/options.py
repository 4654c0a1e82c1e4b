"""What a simulated fleet is: how many, how long, how connected; it starts nothing."""

from dataclasses import dataclass

from schema.errors import InvalidInput

VM_MEMORY_MB = 512
REPLICAS = 100
"""Instances of one VM where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class SimOptions:
    """`seconds` is how long heartbeats are timed, `interval_ms` how often a worker reports that has nothing new."""

    workers: int
    vms: int
    seconds: float = 60.0
    interval_ms: int = 10_000
    tls: bool = False
    processes: int = 2
    replicas: int = REPLICAS
    boot_ms: int = 500

    def __post_init__(self) -> None:
        """Raises InvalidInput for a fleet that makes no sense."""
        if self.workers < 1 or self.vms < 1 or self.processes < 1 or self.replicas < 1:
            raise InvalidInput("a fleet has at least one worker, one VM, one process and one replica")
        if self.workers > 65_000:
            raise InvalidInput("the simulated range has a subnet for 65,000 workers")
        if self.per_worker > 250:
            raise InvalidInput(f"{self.per_worker} VMs a worker; a worker's subnet has addresses for 250")

    @property
    def per_worker(self) -> int:
        """How many VMs a worker has room for: the fleet is just large enough."""
        return -(-self.vms // self.workers)

    def names(self, process: int) -> tuple[str, ...]:
        """The workers that a process pretends to be."""
        return tuple(f"worker-{number}" for number in range(process, self.workers, self.processes))
