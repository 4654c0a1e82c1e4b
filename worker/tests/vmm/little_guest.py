"""The smallest Linux that our agent runs in: an initrd of the guest's parts, made here without Nix."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "procurator"
INIT = b"""#!/bin/busybox sh
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for list in disk network later; do
  while read -r module; do insmod /modules/$module.ko; done </modules/$list
done
guest-agent &
echo little guest
for serial in /sys/block/vd*/serial; do [ -e $serial ] && cat $serial && echo; done
[ -x /more ] && . /more
while :; do sleep 1000; done
"""
_FOLDERS = ("bin", "dev", "proc", "sys", "modules", "root", "run", "tmp", "mnt")


def initrd(parts: Path, target: Path, *, more: bytes = b"") -> Path:
    """An initrd at `target`; `more` is a shell script that runs last at its boot."""
    target.write_bytes(b"".join(_entries(parts, more)))
    return target


def _entries(parts: Path, more: bytes) -> Iterator[bytes]:
    for folder in _FOLDERS:
        yield _entry(folder, stat.S_IFDIR | 0o755)
    for path in sorted((parts / "bin").iterdir()):
        if path.is_symlink():
            yield _entry(f"bin/{path.name}", stat.S_IFLNK | 0o777, os.fsencode(path.readlink()))
        else:
            yield _entry(f"bin/{path.name}", stat.S_IFREG | 0o755, path.read_bytes())
    for path in sorted((parts / "modules").iterdir()):
        yield _entry(f"modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes())
    yield _entry("init", stat.S_IFREG | 0o755, INIT)
    if more:
        yield _entry("more", stat.S_IFREG | 0o755, more)
    yield _entry("TRAILER!!!", 0)


def _entry(name: str, mode: int, content: bytes = b"") -> bytes:
    """A `newc` entry: six magic bytes and thirteen numbers, then name and content, each on a border of four bytes."""
    called = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(called), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + called
    return _filled(head) + _filled(content)


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
