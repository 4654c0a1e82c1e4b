"""Opens what a configuration names, in the real one's order and with its words for what is missing; starts no guest."""

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

from worker.vmm.dev.answers import BootFailed, BootFailure, GuestFailed, Json
from worker.vmm.dev.machine import os_error_text
from worker.vmm.dev.slots import Slots
from worker.vmm.dev.user_net import backend, file_of
from worker.vmm.dev.vm_config import devices, section

MAX_TAP_BYTES = 15
SECTOR_BYTES = 512
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_BZIMAGE_MAGIC = (0x202, b"HdrS")
_ELF_MAGIC = (0, b"\x7fELF")


def check_initramfs(config: Json) -> None:
    """Raises BootFailed (early) when the initramfs cannot be opened."""
    _open_payload(config, "initramfs", BootFailure.EARLY, "Cannot open initramfs file")


def check_disks(config: Json) -> None:
    """Raises BootFailed (device) when a disk cannot be opened or is shorter than a sector."""
    for disk in devices(config, "disks"):
        if "path" not in disk:
            missing = "No disk path was specified when one was expected"
            raise BootFailed(BootFailure.DEVICE, "Error from device manager", missing, kind_of_device="disks")
        path = str(disk["path"])
        try:
            with Path(path).open("rb" if disk.get("readonly") else "r+b") as opened:
                size = opened.seek(0, os.SEEK_END)
        except OSError as error:
            causes = ("Cannot open disk path", f"I/O error (path={path} op=open)", os_error_text(error))
            raise BootFailed(
                BootFailure.DEVICE, "Error from device manager", *causes, kind_of_device="disks"
            ) from error
        if size < SECTOR_BYTES:
            causes = ("Cannot open disk path", "I/O error (op=detect_image_type)", "failed to fill whole buffer")
            raise BootFailed(BootFailure.DEVICE, "Error from device manager", *causes, kind_of_device="disks")


def check_kernel(config: Json) -> None:
    """Raises BootFailed (late) when the kernel is missing or is neither a bzImage nor an ELF file."""
    head = _open_payload(config, "kernel", BootFailure.LATE, "Cannot open kernel file")
    known = any(head[offset : offset + len(magic)] == magic for offset, magic in (_BZIMAGE_MAGIC, _ELF_MAGIC))
    if head is not None and not known:
        bad = "Kernel Loader: Invalid bzImage"
        raise BootFailed(
            BootFailure.LATE,
            "Cannot load the kernel into memory",
            f"Kernel Loader: failed to load bzImage kernel image: {bad}",
            bad,
        )


def check_locks(config: Json) -> None:
    """Raises BootFailed (late) when two of the disks are one file and not both read-only."""
    seen: dict[tuple[int, int], bool] = {}
    for disk in devices(config, "disks"):
        path, readonly = str(disk.get("path")), bool(disk.get("readonly"))
        found = Path(path).stat()
        key = (found.st_dev, found.st_ino)
        if key in seen and not (readonly and seen[key]):
            raise lock_failure(path)
        seen[key] = readonly


def lock_failure(path: str) -> BootFailed:
    """The failure of a disk that somebody else holds."""
    return BootFailed(
        BootFailure.LATE,
        "Error locking disk images: Another instance likely holds a lock",
        "Cannot lock images of all block devices",
        f"Failed to get Write lock for disk image: {path}",
        "The file is already locked",
    )


def open_taps(config: Json) -> list[int]:
    """A descriptor for each network card's tap, which is made when missing and set up; raises BootFailed (device)."""
    opened: list[int] = []
    try:
        for net in devices(config, "net"):
            opened.append(_open_tap(str(net.get("tap", ""))))
    except BootFailed:
        close_all(opened)
        raise
    return opened


def read_backends(folder: str, config: Json, slots: Slots) -> tuple[str, ...]:
    """What stands behind each card of a user-mode network, as its file says; raises BootFailed (device)."""
    try:
        return tuple(
            backend(Path(file_of(folder, str(net.get("tap", "")))).read_text(), slots.taken[str(net["id"])])
            for net in devices(config, "net")
        )
    except (OSError, GuestFailed) as error:
        why = (os_error_text(error),) if isinstance(error, OSError) else error.causes
        raise _tap_failure("Failed to open taps", *why) from error


def close_all(descriptors: list[int]) -> None:
    """Close every descriptor and forget it."""
    while descriptors:
        os.close(descriptors.pop())


def listen(path: str) -> socket.socket:
    """A listening unix socket at `path`; raises OSError, also when something is there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(8)
    except OSError:
        listener.close()
        raise
    return listener


def truncated(path: str) -> None:
    """An empty file at `path`, made with mode 0600 when missing; raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))


def _open_payload(config: Json, key: str, failure: BootFailure, problem: str) -> bytes:
    path = section(config, "payload").get(key)
    if path is None:
        return b""
    try:
        with Path(str(path)).open("rb") as opened:
            return opened.read(4096)
    except OSError as error:
        raise BootFailed(failure, problem, os_error_text(error)) from error


def _open_tap(name: str) -> int:
    if len(name.encode()) > MAX_TAP_BYTES:
        too_long = f"Interface name too long (max length is {MAX_TAP_BYTES}): {name}"
        raise _tap_failure("Failed to open taps", "Open tap device failed", too_long)
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _tap_failure("Failed to open taps", "Open tap device failed", os_error_text(error)) from error
    try:
        _attach(tap, name)
    except OSError as error:
        os.close(tap)
        causes = ("Open tap device failed", "Unable to configure tap interface", os_error_text(error))
        raise _tap_failure("Failed to open taps", *causes) from error
    return tap


def _attach(tap: int, name: str) -> None:
    request = struct.pack("16sH22x", name.encode() or b"vmtap%d", _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
    given = struct.unpack("16sH22x", fcntl.ioctl(tap, _TUNSETIFF, request))[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH22x", given, 0))
        flags = struct.unpack("16sH22x", answer)[1]
        if not flags & _IFF_UP:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", given, flags | _IFF_UP))


def _tap_failure(*causes: str) -> BootFailed:
    return BootFailed(
        BootFailure.DEVICE,
        "Error from device manager",
        "Cannot create virtio-net device",
        *causes,
        kind_of_device="net",
    )


def tap_statistic(tap: str, name: str) -> int:
    """One counter of a tap from sysfs, 0 when the tap is gone."""
    try:
        return int(Path("/sys/class/net", tap, "statistics", name).read_text())
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENOTDIR):
            raise
        return 0
