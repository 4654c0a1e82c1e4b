"""A user of its own for each VM's hypervisor: chosen, recorded, tried out, and given what it must read.

The users are numbers of a range that nobody else hands out; there are no accounts. A group of the worker's own lets
them pass through its directories and read images; everything else there stays the worker's.
"""

import hashlib
import json
import logging
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import trio

from worker.records import write_whole
from worker.vmm.confinement import Confinement
from worker.vmm.processes import runs_as

FIRST_ID = 0x7000_0000
"""Above every range that systemd, subordinate ids and container tools hand out (they end at 0x6fffffff)."""
USERS = 1 << 26
FIRST_GROUP = FIRST_ID + USERS
TRY_SECONDS = 20.0
MANY = 1000
"""Records of instances that left are kept up to so many."""
KVM = Path("/dev/kvm")
TUN = Path("/dev/net/tun")

log = logging.getLogger(__name__)


def choose(worker: str, instance: str, *, taken: Collection[int]) -> int:
    """A user for an instance: the same for the same names, and never one of `taken`."""
    digest = hashlib.sha256(f"{worker}\n{instance}".encode()).digest()
    at = int.from_bytes(digest[:8], "big") % USERS
    while FIRST_ID + at in taken:
        at = (at + 1) % USERS
    return FIRST_ID + at


def group_of(worker: str) -> int:
    """The group of a worker's hypervisors."""
    return FIRST_GROUP + int.from_bytes(hashlib.sha256(worker.encode()).digest()[:8], "big") % USERS


def may(found: os.stat_result, *, uid: int, groups: Collection[int], want: int) -> bool:
    """Whether the mode bits `want` (of 0o7) are given to a user with these groups."""
    if found.st_uid == uid:
        return found.st_mode >> 6 & want == want
    if found.st_gid in groups:
        return found.st_mode >> 3 & want == want
    return found.st_mode & want == want


class Users:
    """The users of one worker's hypervisors, recorded in `record`; `open_to` are the directories they pass through.

    Without `wanted`, or without root, everything runs as the worker does.
    """

    def __init__(
        self, worker: str, *, record: Path, open_to: Sequence[Path], wanted: bool, command: Sequence[str]
    ) -> None:
        self._worker = worker
        self._record = record
        self._open_to = open_to
        self._command = command
        self._group = group_of(worker)
        self._turn = trio.Lock()
        self._known = _read(record)
        self._works: bool | None = None if wanted and os.geteuid() == 0 else False

    async def confinement(self, instance: str, *, cgroups: tuple[str, ...] = ()) -> Confinement:
        """What the instance's hypervisor runs as; tried out before the first."""
        if not await self.work():
            return Confinement(cgroups=cgroups)
        return Confinement(uid=self.of(instance), gid=self._group, groups=_device_groups(), cgroups=cgroups)

    async def work(self) -> bool:
        """Whether hypervisors get users of their own: found out once, by running the command as one."""
        async with self._turn:
            if self._works is None:
                problem = await self._problem()
                self._works = not problem
                if problem:
                    log.warning("hypervisors run as the worker's own user: %s", problem)
        return self._works

    def owner_of(self, instance: str) -> int | None:
        """Who may open the instance's tap; None: nobody but us."""
        return self.of(instance) if self._works else None

    def of(self, instance: str) -> int:
        """The instance's user; recorded, so that it stays the same."""
        known = self._known
        if instance not in known:
            known[instance] = choose(self._worker, instance, taken=set(known.values()))
            write_whole(self._record, json.dumps(known).encode())
        return known[instance]

    def forget(self, instance: str) -> None:
        """The instance has left. Until there are many it keeps its user; written with the next new one."""
        if len(self._known) > MANY:
            self._known.pop(instance, None)

    def let_read(self, file: Path) -> None:
        """Make a file below the worker's directories readable to its hypervisors; a store path is it already."""
        if not self._works:
            return
        found = file.stat()
        if not found.st_mode & stat.S_IROTH and (found.st_gid != self._group or not found.st_mode & stat.S_IRGRP):
            os.chown(file, -1, self._group)
            file.chmod(0o640)
        self._let_through(file.parent)

    def give(self, instance: str, files: Mapping[str, Path]) -> None:
        """Make volumes the instance's hypervisor's; the directory stays ours, so it can put nothing else there."""
        for file in files.values():
            if self._works:
                os.chown(file, self.of(instance), self._group, follow_symlinks=False)
                self._let_through(file.parent)
            elif os.geteuid() == 0:
                os.chown(file, 0, 0, follow_symlinks=False)

    def _let_through(self, directory: Path) -> None:
        """Up to the worker's own directories, which `_problem` has opened."""
        top = self._open_to[0]
        for each in (directory, *directory.parents):
            if not each.is_relative_to(top):
                return
            found = each.stat()
            if not may(found, uid=-1, groups=(self._group,), want=1):
                os.chown(each, -1, self._group)
                each.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXGRP)

    async def _problem(self) -> str:
        """Why users of their own do not work here; empty when they do. Opens the directories to them first."""
        for directory in self._open_to:
            self._let_through(directory)
        uid, groups = choose(self._worker, "", taken=()), (self._group, *_device_groups())
        for directory in self._open_to[0].resolve().parents:
            if not may(directory.stat(), uid=uid, groups=groups, want=1):
                return f"they could not pass through {directory}"
        for device in (TUN, KVM):
            if device.exists() and not may(device.stat(), uid=uid, groups=groups, want=6):
                return f"they could not open {device}"
        said = await runs_as(Confinement(uid=uid, gid=self._group), (*self._command, "--version"), deadline=TRY_SECONDS)
        return f"{self._command[0]} --version does not run as another user: {said}" if said else ""


def _read(record: Path) -> dict[str, int]:
    try:
        return {str(name): int(uid) for name, uid in json.loads(record.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _device_groups() -> tuple[int, ...]:
    """The group that may use KVM."""
    return (KVM.stat().st_gid,) if KVM.exists() else ()
