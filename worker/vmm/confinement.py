"""What a hypervisor's process is held in: a user and cgroups of its own; it makes neither.

Standard library only, and little of it: the shim uses this, which runs beside every VM.
"""

import ctypes
import json
import os

PR_SET_NO_NEW_PRIVS = 38
_LIBC = ctypes.CDLL(None, use_errno=True)


class Confinement:
    """`uid` and `gid` it runs as (by default ours), `groups` beside them; it writes itself into the files `cgroups`."""

    __slots__ = ("cgroups", "gid", "groups", "uid")

    def __init__(
        self,
        *,
        uid: int | None = None,
        gid: int | None = None,
        groups: tuple[int, ...] = (),
        cgroups: tuple[str, ...] = (),
    ) -> None:
        self.uid = os.geteuid() if uid is None else uid
        self.gid = os.getegid() if gid is None else gid
        self.groups = groups
        self.cgroups = cgroups

    @property
    def is_another_user(self) -> bool:
        """Whether it runs as somebody else than we do."""
        return self.uid != os.geteuid()

    def to_text(self) -> str:
        """As a part of the shim's order."""
        return json.dumps([self.uid, self.gid, self.groups, self.cgroups])

    @classmethod
    def from_text(cls, text: str) -> "Confinement":
        """Read what `to_text` wrote; raises ValueError."""
        uid, gid, groups, cgroups = json.loads(text)
        return cls(uid=int(uid), gid=int(gid), groups=tuple(map(int, groups)), cgroups=tuple(map(str, cgroups)))


def confine(confinement: Confinement) -> None:
    """Put this process under it, for good; for a child that is about to become the hypervisor. Raises OSError.

    It has one thread, as every child just forked: that one is what enters the cgroups, and with it all that it starts.
    """
    for entry in confinement.cgroups:
        writer = os.open(entry, os.O_WRONLY)
        os.write(writer, b"0")
        os.close(writer)
    if not confinement.is_another_user:
        return
    os.setgroups(confinement.groups)
    os.setresgid(confinement.gid, confinement.gid, confinement.gid)
    os.setresuid(confinement.uid, confinement.uid, confinement.uid)
    if _LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no-new-privs")
