"""Reads the bodies of the requests that change a VM (facts §3); it carries none out."""

from worker.vmm.dev.answers import Json, Refused
from worker.vmm.dev.phases import CANNOT, Request
from worker.vmm.dev.vm_config import DEVICES, REQUIRED, U64, parse

_FILE_URL = "file://"

KINDS: dict[Request, str] = {
    Request.ADD_DISK: "disks",
    Request.ADD_NET: "net",
    Request.ADD_VSOCK: "vsock",
}
"""What a request adds, as the configuration's key."""

_BODIES: dict[Request, tuple[str, Json]] = {
    Request.ADD_DISK: ("DiskConfig", DEVICES["disks"]),
    Request.ADD_NET: ("NetConfig", DEVICES["net"]),
    Request.ADD_VSOCK: ("VsockConfig", DEVICES["vsock"]),
    Request.RESIZE: (
        "VmResizeData",
        {"desired_vcpus": (None, 32), "desired_ram": (None, U64), "desired_balloon": (None, U64)},
    ),
    Request.RESIZE_DISK: ("VmResizeDiskData", {"id": (REQUIRED, str), "desired_size": (REQUIRED, U64)}),
    Request.REMOVE_DEVICE: ("VmRemoveDeviceData", {"id": (REQUIRED, str)}),
    Request.SNAPSHOT: ("VmSnapshotConfig", {"destination_url": (REQUIRED, str)}),
    Request.RESTORE: (
        "RestoreConfig",
        {
            "source_url": (REQUIRED, str),
            "prefault": (False, bool),
            "memory_restore_mode": ("Copy", ("Copy", "OnDemand")),
            "resume": (False, bool),
        },
    ),
    **{request: ("Config", {}) for request in CANNOT},
}


def read(request: Request, body: bytes) -> Json:
    """The body of a request with every default filled in, empty for one that has none. Raises Refused (400)."""
    if request is Request.CREATE:
        return parse(body)
    if not request.takes_body:
        return {}
    name, fields = _BODIES[request]
    return parse(body, name, fields)


def folder_of(request: Request, url: object) -> str:
    """The directory that a snapshot's URL names; raises Refused."""
    path = str(url).removeprefix(_FILE_URL)
    if not str(url).startswith(_FILE_URL) or not path.startswith("/") or "\0" in path:
        raise Refused(500, request.failure, f"{str(url)[:200]!r} is no file:///path/of/a/directory")
    return path
