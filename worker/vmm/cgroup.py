"""Cgroups with a memory and a process limit, one per VM, in version 1's or 2's hierarchies; it puts no process in.

The shim's child goes in before it becomes the hypervisor (`confinement.py`), so all that it ever starts is inside; the
shim, which has to tell how it ended, stays outside. The groups lie at the top (`procurator/<worker>/<instance>`), not
in the service's own: they must outlive it, as the VMs do.
"""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CONTROLLERS = ("memory", "pids")
MOUNTS = Path("/proc/self/mountinfo")
TOP = "procurator"
REMOVE_SECONDS = 2.0
ENTRIES = {1: "tasks", 2: "cgroup.procs"}
"""Where a process of one thread writes itself. Moving a whole process waits for all processors (7 to 20 ms), which
Linux (since 5.5) spares a thread that moves itself; version 2 takes no single threads into groups like ours.
"""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where one kernel's hierarchy of cgroups is mounted, and which of `CONTROLLERS` it has for us."""

    root: Path
    version: int
    controllers: frozenset[str]


def hierarchies(mountinfo: str, *, of_version_2: Mapping[str, str]) -> tuple[Hierarchy, ...]:
    """The hierarchies to use, from /proc/self/mountinfo; a controller that version 1 holds is not version 2's.

    `of_version_2`: mount point → what stands in its `cgroup.controllers`.
    """
    found: list[Hierarchy] = []
    wanted = set(CONTROLLERS)
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        words, mounted = place.split(), kind.split()
        if len(words) < 5 or len(mounted) < 3:
            continue
        if mounted[0] == "cgroup":
            here, version = wanted & set(mounted[2].split(",")), 1
        elif mounted[0] == "cgroup2":
            here, version = wanted & set(of_version_2.get(words[4], "").split()), 2
        else:
            continue
        if here:
            found.append(Hierarchy(Path(words[4]), version, frozenset(here)))
            wanted -= here
    return tuple(found)


def limits(hierarchy: Hierarchy, *, memory_bytes: int, processes: int) -> dict[str, str]:
    """File → value in a VM's group. Out of memory the whole VM is ended, where the kernel knows how."""
    wanted: dict[str, str] = {}
    if "memory" in hierarchy.controllers and hierarchy.version == 1:
        wanted["memory.limit_in_bytes"] = str(memory_bytes)
    elif "memory" in hierarchy.controllers:
        wanted |= {"memory.max": str(memory_bytes), "memory.oom.group": "1"}
    if "pids" in hierarchy.controllers:
        wanted["pids.max"] = str(processes)
    return wanted


class Cgroups:
    """The groups of one worker's VMs; `worker` tells workers of one machine apart."""

    def __init__(self, worker: str, *, mounts: Path = MOUNTS) -> None:
        self._hierarchies = _mounted(mounts)
        self._home = Path(TOP, worker)

    @property
    def controllers(self) -> frozenset[str]:
        """Which limits there are; none where the machine has no cgroups for us."""
        return frozenset().union(*(hierarchy.controllers for hierarchy in self._hierarchies))

    def make(self, instance: str, *, memory_bytes: int, processes: int) -> tuple[str, ...]:
        """A group with these limits, again is fine; the files by which a process enters. Raises OSError."""
        doors: list[str] = []
        for hierarchy in self._hierarchies:
            group = hierarchy.root / self._home / instance
            group.mkdir(mode=0o755, parents=True, exist_ok=True)
            if hierarchy.version == 2:
                _hand_down(hierarchy, group)
            for name, value in limits(hierarchy, memory_bytes=memory_bytes, processes=processes).items():
                (group / name).write_text(value)
            doors.append(str(group / ENTRIES[hierarchy.version]))
        return tuple(doors)

    def ran_out_of_memory(self, instance: str) -> bool:
        """Whether the kernel ended a process of the group because of its limit."""
        for hierarchy in self._hierarchies:
            name = "memory.oom_control" if hierarchy.version == 1 else "memory.events"
            with suppress(OSError):
                words = (hierarchy.root / self._home / instance / name).read_text().split()
                if "oom_kill" in words and int(words[words.index("oom_kill") + 1]):
                    return True
        return False

    def remove(self, instance: str) -> None:
        """End what is still in the group, and remove it; none is fine. Raises OSError when it cannot be emptied."""
        for hierarchy in self._hierarchies:
            _empty_and_remove(hierarchy.root / self._home / instance)

    def known(self) -> frozenset[str]:
        """The instances that have a group."""
        names: set[str] = set()
        for hierarchy in self._hierarchies:
            with suppress(OSError):
                names |= {entry.name for entry in os.scandir(hierarchy.root / self._home) if entry.is_dir()}
        return frozenset(names)

    def remove_home(self) -> None:
        """Remove the worker's own group once nothing is in it."""
        for hierarchy in self._hierarchies:
            for group in (hierarchy.root / self._home, hierarchy.root / TOP):
                with suppress(OSError):  # another worker's VMs are in it
                    group.rmdir()


def _mounted(mounts: Path) -> tuple[Hierarchy, ...]:
    try:
        text = mounts.read_text(errors="replace")
    except OSError:
        return ()
    offered: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if " - cgroup2 " in line and len(words) > 4:
            with suppress(OSError):
                offered[words[4]] = Path(words[4], "cgroup.controllers").read_text()
    return hierarchies(text, of_version_2=offered)


def _hand_down(hierarchy: Hierarchy, group: Path) -> None:
    """Version 2 gives a group only the controllers that each group above it hands down."""
    wanted = " ".join(f"+{name}" for name in sorted(hierarchy.controllers))
    for above in reversed(group.relative_to(hierarchy.root).parents):
        control = hierarchy.root / above / "cgroup.subtree_control"
        if not hierarchy.controllers <= set(control.read_text().split()):
            control.write_text(wanted)


def _empty_and_remove(group: Path) -> None:
    patience = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > patience:
                raise
        with suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.01)
