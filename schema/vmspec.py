"""VmSpec: one VM of a generation, fully resolved to store paths; it resolves and builds nothing."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from schema.blueprint import Health, LabelKey, Labels, Network, PlacementPolicy, UpdatePolicy, Volume
from schema.canonical import canonical_bytes, sha256_hex
from schema.names import MAX_CMDLINE, DnsLabel, FlakeAttribute, StoreFile, StorePath, StrictModel


class VmSpec(StrictModel):
    """What CI publishes for one VM. `memory_mb` is MiB, `cpu` whole vCPUs.

    `kernel` and `initrd` are files of the closure of `toplevel`; `cmdline` is the System's kernel-params plus
    `init=<toplevel>/init`. `disk_image_path` is set only where Nix built the closure's image itself.
    """

    name: DnsLabel
    system: FlakeAttribute
    toplevel: StorePath
    kernel: StoreFile
    initrd: StoreFile
    cmdline: Annotated[str, StringConstraints(pattern=r"^[ -~]*$", max_length=MAX_CMDLINE)]
    disk_image_path: StoreFile | None = None
    cpu: Annotated[int, Field(ge=1, le=1024)]
    memory_mb: Annotated[int, Field(ge=32, le=64 * 1024 * 1024)]
    extras: dict[LabelKey, Annotated[int, Field(ge=1)]] = {}
    replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    labels: Labels = {}
    singleton: bool = False
    volumes: dict[DnsLabel, Volume] = {}
    network: Network = Network()
    depends_on: tuple[DnsLabel, ...] = ()
    env: dict[str, str] = {}
    placement: PlacementPolicy = PlacementPolicy()
    health: Health = Health()
    update: UpdatePolicy = UpdatePolicy()

    @model_validator(mode="after")
    def _singletons_are_one(self) -> "VmSpec":
        if self.replicas > 1 and (self.singleton or self.volumes):
            raise ValueError("a VM with volumes, or a singleton, has one replica")
        return self

    @property
    def content_hash(self) -> str:
        """SHA-256 over what decides what boots. Equal hashes: a running VM is not touched (DESIGN §1)."""
        return sha256_hex(
            canonical_bytes(
                {
                    "toplevel": self.toplevel,
                    "kernel": self.kernel,
                    "initrd": self.initrd,
                    "cmdline": self.cmdline,
                    "diskImagePath": self.disk_image_path,
                    "cpu": self.cpu,
                    "memoryMb": self.memory_mb,
                    "extras": self.extras,
                    "volumes": {name: volume.size_mb for name, volume in self.volumes.items()},
                    "nic": self.network.nic,
                }
            )
        )

    @property
    def closure_paths(self) -> tuple[str, ...]:
        """The store paths whose closures a worker needs to boot this."""
        roots = {self.toplevel, *(_store_path_of(path) for path in (self.kernel, self.initrd))}
        if self.disk_image_path:
            roots.add(_store_path_of(self.disk_image_path))
        return tuple(sorted(roots))

    @property
    def instances(self) -> tuple[str, ...]:
        """The names of its instances: `<vm>-<n>`, numbered from 0."""
        return tuple(f"{self.name}-{number}" for number in range(self.replicas))


def _store_path_of(file: str) -> str:
    return "/".join(file.split("/", 4)[:4])
