"""VmSpec: one VM of a generation, fully resolved to store paths; it resolves and builds nothing."""

from typing import Annotated

from pydantic import StringConstraints

from schema.blueprint import BlueprintVm, OnLoss
from schema.canonical import canonical_bytes, sha256_hex
from schema.names import MAX_CMDLINE, DnsLabel, StoreFile, StorePath


class VmSpec(BlueprintVm):
    """What CI publishes for one VM: what its author wrote, and what it was built to.

    `kernel` and `initrd` are files of the closure of `toplevel`; `cmdline` is the System's kernel-params plus
    `init=<toplevel>/init`. `disk_image_path` is set only where Nix built the closure's image itself.
    """

    name: DnsLabel
    toplevel: StorePath
    kernel: StoreFile
    initrd: StoreFile
    cmdline: Annotated[str, StringConstraints(pattern=r"^[ -~]*$", max_length=MAX_CMDLINE)]
    disk_image_path: StoreFile | None = None
    env: dict[str, str] = {}
    """As published: a reader holds no older generation to the names that an author may write now."""

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
    def keeps_volume(self) -> bool:
        """Whether it is bound to the worker that holds its volume, even when that is lost."""
        return any(volume.on_loss is OnLoss.KEEP for volume in self.volumes.values())

    @property
    def is_fenced(self) -> bool:
        """Whether at most one process of it may run anywhere, although it may be placed elsewhere (DESIGN §6)."""
        return (self.singleton or bool(self.volumes)) and not self.keeps_volume

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
