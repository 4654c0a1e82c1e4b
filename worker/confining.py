"""What each hypervisor is held in on this machine: its user and its cgroups, and what its user may open (shell)."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import trio

from worker.vmm.cgroup import CONTROLLERS, Cgroups
from worker.vmm.confinement import Confinement
from worker.vmm.landlock import has_landlock
from worker.vmm.runtime_dir import RuntimeDir
from worker.vmm.users import Users

_MIB = 1024 * 1024

log = logging.getLogger(__name__)


class Confining:
    """One per worker. `overhead_mb` (MiB) is what a hypervisor may need beside its guest's memory."""

    def __init__(
        self, users: Users, cgroups: Cgroups, *, overhead_mb: int, processes: int, images: Path, landlock: bool
    ) -> None:
        self._users = users
        self._cgroups = cgroups
        self._overhead_mb = overhead_mb
        self._processes = processes
        self._images = images
        self._landlock = landlock and has_landlock()
        self._told = ""

    async def of(self, instance: str, *, memory_mb: int) -> Confinement:
        """For a new hypervisor with a guest of `memory_mb` MiB; whatever is left of the one before it is ended."""
        procs: tuple[str, ...] = ()
        try:
            procs = await trio.to_thread.run_sync(self._fresh_group, instance, memory_mb)
        except OSError as error:
            self._tell(f"the hypervisors are in no cgroups: {error}")
        missing = sorted(set(CONTROLLERS) - self._cgroups.controllers)
        if missing:
            self._tell(f"this machine has no cgroup controller for {' and '.join(missing)}: the VMs have no such limit")
        return await self._users.confinement(instance, cgroups=procs)

    def _fresh_group(self, instance: str, memory_mb: int) -> tuple[str, ...]:
        self._cgroups.remove(instance)
        memory_bytes = (memory_mb + self._overhead_mb) * _MIB
        return self._cgroups.make(instance, memory_bytes=memory_bytes, processes=self._processes)

    def _tell(self, what: str) -> None:
        if what != self._told:
            log.warning("%s", what)
        self._told = what

    async def find_out(self) -> None:
        """Learn now whether users of their own work, so that the first boot need not wait for it."""
        await self._users.work()

    def owner(self, instance: str) -> int | None:
        """Who may open the instance's tap; None: we alone."""
        return self._users.owner_of(instance)

    def paths(self, directory: RuntimeDir) -> tuple[tuple[str, str], ...]:
        """What a real hypervisor may open beside what its configuration names: further images, and its own sockets."""
        if not self._landlock:
            return ()
        return ((str(self._images), "r"), (str(directory.own), "rw"))

    def let_read(self, *files: Path) -> None:
        """Make images, kernels and the like readable to hypervisors. Raises OSError."""
        for file in files:
            self._users.let_read(file)

    def give(self, instance: str, volumes: Mapping[str, Path]) -> None:
        """Make the instance's volumes its hypervisor's. Raises OSError."""
        self._users.give(instance, volumes)

    def complaint(self, instance: str) -> str:
        """What the limits did to a hypervisor that has ended; empty when nothing."""
        if not self._cgroups.ran_out_of_memory(instance):
            return ""
        return f"the hypervisor needed more than its guest's memory and {self._overhead_mb} MiB, and was ended for it"

    async def clear(self, instance: str) -> None:
        """End whatever is still in the instance's cgroups, and remove them. Raises OSError."""
        await trio.to_thread.run_sync(self._cgroups.remove, instance)

    def forget(self, instance: str) -> None:
        """The instance has left for good."""
        self._users.forget(instance)

    async def clear_all_but(self, living: Collection[str]) -> None:
        """At start: nobody's groups are emptied and removed."""
        for instance in sorted(self._cgroups.known() - set(living)):
            try:
                await self.clear(instance)
            except OSError as error:
                log.warning("the cgroup of %s stays: %s", instance, error)
        if not living:
            self._cgroups.remove_home()
