"""Devices of a running QEMU, put in and taken out over its monitor; it decides no slot and no id."""

import contextlib
import re
from collections.abc import Callable, Iterator

from worker.vmm.dev.answers import BootFailed, BootFailure, GuestFailed, Json, Unplugged
from worker.vmm.dev.files import check_disks, close_all, open_taps
from worker.vmm.dev.machine import os_error_text
from worker.vmm.dev.qemu_arguments import disk_device, disk_node, net_device, vsock_devices
from worker.vmm.dev.qmp import Qmp, QmpGone
from worker.vmm.dev.vm_config import section
from worker.vmm.dev.vsock import VsockRelay

_DEVICE = re.compile(r"(blk|nic|ports|balloon)([0-9]+)")
_DEVICE_MANAGER = "Error from device manager"


def plug_disk(qmp: Qmp, disk: Json, slot: int) -> None:
    """A disk into a slot; raises GuestFailed, and leaves nothing then."""
    check_disks({"disks": [disk]})
    with _failing(), _undoing(lambda: qmp.execute("blockdev-del", {"node-name": f"disk{slot}"})) as begun:
        qmp.execute("blockdev-add", disk_node(disk, slot))
        begun()
        qmp.execute("device_add", disk_device(disk, slot))


def plug_net(qmp: Qmp, net: Json, slot: int) -> None:
    """A network card into a slot; raises GuestFailed, and leaves nothing then."""
    taps = open_taps({"net": [net]})
    name = f"net{slot}"
    try:
        with _failing(), _undoing(lambda: qmp.execute("netdev_del", {"id": name})) as begun:
            qmp.execute("getfd", {"fdname": name}, descriptor=taps[0])
            qmp.execute("netdev_add", {"type": "tap", "id": name, "fd": name})
            begun()
            qmp.execute("device_add", net_device(net, slot))
    finally:
        close_all(taps)


def plug_vsock(qmp: Qmp, vsock: Json, slot: int) -> VsockRelay:
    """A vsock into a slot, and its relay, which runs; raises GuestFailed, and leaves nothing then."""
    relay = open_relay({"vsock": vsock})
    if relay is None:
        raise GuestFailed(_DEVICE_MANAGER, "a vsock without a socket")
    name = f"vsock{slot}"
    bus, port = vsock_devices(slot)
    with contextlib.ExitStack() as undone:
        undone.callback(relay.stop)
        with _failing(), _undoing(lambda: qmp.execute("chardev-remove", {"id": name})) as begun:
            qmp.execute("getfd", {"fdname": name}, descriptor=relay.guest_side.fileno())
            address = {"type": "fd", "data": {"str": name}}
            backend = {"type": "socket", "data": {"addr": address, "server": False}}
            qmp.execute("chardev-add", {"id": name, "backend": backend})
            begun()
            qmp.execute("device_add", bus)
            with _undoing(lambda: qmp.execute("device_del", {"id": bus["id"]})) as plugged:
                plugged()
                qmp.execute("device_add", port)
        undone.pop_all()
    relay.start()
    return relay


def unplug(qmp: Qmp, slot: int) -> None:
    """Ask the guest to let the device in a slot go; raises GuestFailed."""
    with _failing():
        listed = qmp.execute("qom-list", {"path": "/machine/peripheral"})
        names = [str(entry.get("name")) for entry in listed] if isinstance(listed, list) else []
        for name in names:
            found = _DEVICE.fullmatch(name)
            if found and int(found[2]) == slot:
                qmp.execute("device_del", {"id": name})


def after_unplug(qmp: Qmp, event: Json) -> Unplugged | None:
    """Give back what was behind a device that has gone; None when the event is of a part of one."""
    data = event.get("data")
    found = _DEVICE.fullmatch(str(data.get("device"))) if isinstance(data, dict) else None
    if found is None:
        return None
    kind, slot = found[1], int(found[2])
    command, key, backend = {
        "blk": ("blockdev-del", "node-name", "disk"),
        "nic": ("netdev_del", "id", "net"),
        "ports": ("chardev-remove", "id", "vsock"),
    }.get(kind, ("", "", ""))
    if command:
        with contextlib.suppress(QmpGone):
            qmp.execute(command, {key: f"{backend}{slot}"})
    return Unplugged(slot)


def resize_disk(qmp: Qmp, slot: int, size: int) -> None:
    """Make a disk, and its file, `size` bytes long; raises GuestFailed."""
    with _failing():
        qmp.execute("block_resize", {"node-name": f"disk{slot}", "size": size})


def open_relay(config: Json) -> VsockRelay | None:
    """The vsock's socket on the host, where the configuration has one. Raises BootFailed (device)."""
    path = section(config, "vsock").get("socket")
    if path is None:
        return None
    try:
        return VsockRelay(str(path))
    except OSError as error:
        causes = (
            "Cannot create virtio-vsock backend",
            "Error binding to the host-side Unix socket",
            os_error_text(error),
        )
        raise BootFailed(BootFailure.DEVICE, "Error from device manager", *causes, kind_of_device="vsock") from error


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """QEMU's refusal as the device manager's."""
    try:
        yield
    except QmpGone as gone:
        raise GuestFailed(_DEVICE_MANAGER, str(gone)) from gone


@contextlib.contextmanager
def _undoing(undo: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Undo when what follows fails, once the block has said that there is something to undo."""
    begun: list[bool] = []
    try:
        yield lambda: begun.append(True)
    except QmpGone:
        if begun:
            with contextlib.suppress(QmpGone):
                undo()
        raise
