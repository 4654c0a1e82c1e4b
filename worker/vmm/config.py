"""A VM's configuration in cloud-hypervisor's words (v53), from plain values; it opens none of the files named."""

import re
from dataclasses import dataclass

from schema.errors import InvalidInput

PAGE_BYTES = 4096
MAX_MEMORY_BYTES = 2**44
"""16 TiB. A request for 2^50 bytes aborts a real hypervisor (recorded)."""
MAX_CPUS = 255
MAX_CMDLINE_BYTES = 2047
"""x86 Linux cuts its command line at COMMAND_LINE_SIZE (2048 with the final NUL) without a word."""
MAX_DISK_SERIAL_BYTES = 20
"""VIRTIO_BLK_ID_BYTES: a longer serial is cut, and the guest would not find its volume."""
MAX_TAP_BYTES = 15
MAX_SOCKET_PATH_BYTES = 107
GUEST_CID = 3
MAX_BODY_BYTES = 51_200
"""v53 refuses a longer request body."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_TAP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DISK_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Disk:
    """A raw disk; the guest finds it by `serial` (at most 20 bytes), as `/sys/block/vd*/serial`."""

    path: str
    serial: str
    readonly: bool


def disk_problems(disk: Disk) -> list[str]:
    """What a hypervisor would misread of a disk."""
    checks = (
        (_is_absolute(disk.path), f"path: {disk.path!r} is not absolute"),
        (
            len(disk.serial) <= MAX_DISK_SERIAL_BYTES and _DISK_SERIAL.fullmatch(disk.serial) is not None,
            f"disk serial: {disk.serial!r} is not 1..{MAX_DISK_SERIAL_BYTES} letters, digits, '.', '_' or '-'",
        ),
    )
    return [problem for fine, problem in checks if not fine]


def _is_absolute(path: str) -> bool:
    return path.startswith("/") and "\0" not in path


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card on a tap that exists and is up; `mac` is the guest's, lower case with colons."""

    tap: str
    mac: str


@dataclass(frozen=True, slots=True)
class VmConfig:
    """All that one VM needs. Paths are absolute; `memory_bytes` is a multiple of 4096; raises InvalidInput otherwise.

    `serial_socket` is where the hypervisor listens with the guest's serial console, from create to delete;
    `vsock_socket` where the host reaches the guest's agent, from boot on (None: not at all). `landlock`: paths and what
    may be done to them ("r", "w", "rw"), beside what is named here; the hypervisor can then open nothing else, and what
    is added while it runs must be among them (recorded). `balloon_bytes`: so much
    of its memory the guest is asked for from the start, which can be changed later (None: never).
    """

    cpus: int
    memory_bytes: int
    kernel: str
    cmdline: str
    serial_socket: str
    initrd: str | None = None
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    vsock_socket: str | None = None
    landlock: tuple[tuple[str, str], ...] = ()
    balloon_bytes: int | None = None

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise InvalidInput(problem)


def _problems(config: VmConfig) -> list[str]:
    """Everything that a hypervisor would accept silently, misread, or die of."""
    paths = [config.kernel, config.serial_socket]
    paths += [path for path in (config.initrd, config.vsock_socket) if path is not None]
    serials = [disk.serial for disk in config.disks]
    checks = [
        (1 <= config.cpus <= MAX_CPUS, f"cpus: {config.cpus} is not in 1..{MAX_CPUS}"),
        (0 < config.memory_bytes <= MAX_MEMORY_BYTES, f"memory: {config.memory_bytes} bytes is not in 1..2^44"),
        (config.memory_bytes % PAGE_BYTES == 0, f"memory: {config.memory_bytes} bytes is no multiple of {PAGE_BYTES}"),
        (
            0 <= (config.balloon_bytes or 0) < config.memory_bytes,
            f"balloon: {config.balloon_bytes} bytes is not less than the memory",
        ),
        (len(config.cmdline.encode()) <= MAX_CMDLINE_BYTES, f"cmdline: longer than {MAX_CMDLINE_BYTES} bytes"),
        (config.cmdline.isprintable(), "cmdline: holds a control character"),
        (
            len(config.serial_socket.encode()) <= MAX_SOCKET_PATH_BYTES,
            f"serial socket: {config.serial_socket} is longer than {MAX_SOCKET_PATH_BYTES} bytes",
        ),
        (
            len((config.vsock_socket or "").encode()) <= MAX_SOCKET_PATH_BYTES,
            f"vsock: {config.vsock_socket} is longer than {MAX_SOCKET_PATH_BYTES} bytes",
        ),
        (len(set(serials)) == len(serials), f"disks: two have the same serial: {', '.join(serials)}"),
    ]
    checks += [(_is_absolute(path), f"path: {path!r} is not absolute") for path in paths]
    checks += [(False, problem) for disk in config.disks for problem in disk_problems(disk)]
    for nic in config.nics:
        checks += [
            (
                len(nic.tap) <= MAX_TAP_BYTES and _TAP.fullmatch(nic.tap) is not None,
                f"tap: {nic.tap!r} is no interface name of 1..{MAX_TAP_BYTES} bytes",
            ),
            (_MAC.fullmatch(nic.mac) is not None, f"mac: {nic.mac!r} is not six lower-case hex bytes with colons"),
        ]
    return [problem for fine, problem in checks if not fine]


def create_request(config: VmConfig) -> dict[str, object]:
    """The body of `vm.create` (cloud-hypervisor v53 OpenAPI, schema VmConfig).

    `console` is `Off`, since its default `Tty` belongs to a person at a terminal.
    """
    payload: dict[str, object] = {"kernel": config.kernel, "cmdline": config.cmdline}
    if config.initrd is not None:
        payload["initramfs"] = config.initrd
    request: dict[str, object] = {
        "cpus": {"boot_vcpus": config.cpus, "max_vcpus": config.cpus},
        "memory": {"size": config.memory_bytes},
        "payload": payload,
        "rng": {"src": "/dev/urandom"},
        "serial": {"mode": "Socket", "socket": config.serial_socket},
        "console": {"mode": "Off"},
    }
    if config.disks:
        request["disks"] = [disk_request(disk) for disk in config.disks]
    if config.nics:
        request["net"] = [{"tap": nic.tap, "mac": nic.mac} for nic in config.nics]
    if config.landlock:
        request["landlock_enable"] = True
        request["landlock_rules"] = [{"path": path, "access": access} for path, access in config.landlock]
    if config.vsock_socket is not None:
        # The cid is the guest's name for itself: hybrid vsock knows no other machine, so it need not be unique.
        request["vsock"] = {"cid": GUEST_CID, "socket": config.vsock_socket}
    if config.balloon_bytes is not None:
        request["balloon"] = {"size": config.balloon_bytes}
    return request


def disk_request(disk: Disk) -> dict[str, object]:
    """A disk in `vm.create`, and the body of `vm.add-disk` (DiskConfig).

    `image_type` is always given: an autodetected raw disk has a read-only sector 0. Raises InvalidInput.
    """
    for problem in disk_problems(disk):
        raise InvalidInput(problem)
    return {"path": disk.path, "serial": disk.serial, "readonly": disk.readonly, "image_type": "Raw"}


@dataclass(frozen=True, slots=True)
class Size:
    """What a booted VM shall have of a thing, None where it stays: CPUs, memory, memory that the guest gives up."""

    cpus: int | None = None
    memory_bytes: int | None = None
    balloon_bytes: int | None = None


def resize_request(size: Size) -> dict[str, object]:
    """The body of `vm.resize`."""
    wanted = {
        "desired_vcpus": size.cpus,
        "desired_ram": size.memory_bytes,
        "desired_balloon": size.balloon_bytes,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def folder_url(folder: str) -> str:
    """The URL of an absolute directory, for a snapshot; raises InvalidInput."""
    if not _is_absolute(folder):
        raise InvalidInput(f"path: {folder!r} is not absolute")
    return f"file://{folder}"
