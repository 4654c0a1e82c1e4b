"""QEMU's command line for a configuration; it opens and starts nothing.

q35 by measurement (QEMU 7.2, TCG, Debian's 6.1 kernel): microvm boots 0.3 s sooner, but its PIT is the only reference
for the time-stamp counter, and one boot in ten hung there on a busy host; q35 also takes a bridge for hot-plug (see
`slots.py`). The processor `qemu64` with x86-64-v2's features boots 0.5 s sooner than `max`. A translation buffer of 32
MiB costs no time against 128 and saves 6 MiB and more; with 8 MiB a boot takes twice as long.
"""

import json
from typing import NamedTuple

from worker.vmm.dev.answers import Json
from worker.vmm.dev.slots import BALLOON, RNG, Slots
from worker.vmm.dev.vm_config import devices, number, section

PROGRAM = "qemu-system-x86_64"
MACHINE = "q35,smm=off,vmport=off,sata=off,smbus=off,i8042=off,usb=off,hpet=on"
PROCESSOR = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand"
ACCELERATORS = {"tcg": "tcg,thread=multi,tb-size=32", "kvm": "kvm"}
PORT_NAME = "procurator.vsock"
"""By which the guest's agent finds the port."""
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
BUS = "slots"
BRIDGE = '{"driver":"pcie-pci-bridge","id":"slots","bus":"pcie.0","addr":"1"}'


class Descriptors(NamedTuple):
    """What QEMU inherits, open: its control socket, the serial socket's listener, a tap for each card, the vsock, and
    the file with a saved guest's memory.
    """

    control: int
    serial_listener: int | None
    taps: tuple[int, ...]
    vsock: int | None = None
    saved: int | None = None

    @property
    def all(self) -> tuple[int, ...]:
        """Every descriptor to hand down."""
        single = (self.control, self.serial_listener, self.vsock, self.saved)
        return (*(each for each in single if each is not None), *self.taps)


def arguments(
    config: Json,
    slots: Slots,
    *,
    descriptors: Descriptors,
    accelerator: str,
    sandbox: bool,
    backends: tuple[str, ...] | None = None,
) -> list[str]:
    """The whole argv. Ids are ours, by slot (`blk3`, `nic4`): QEMU takes none that starts with an underscore.

    `backends` are the network cards' where they are not taps.

    With `descriptors.saved` the guest is read from there and stays paused.
    """
    payload, cpus = section(config, "payload"), section(config, "cpus")
    argv = [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-machine", MACHINE, "-accel", ACCELERATORS[accelerator], "-cpu", PROCESSOR]
    argv += ["-smp", str(max(1, number(cpus.get("boot_vcpus"))))]
    argv += ["-m", f"size={number(section(config, 'memory').get('size')) // 1024}k"]
    argv += ["-kernel", str(payload.get("kernel", payload.get("firmware", "")))]
    argv += ["-initrd", str(payload["initramfs"])] if "initramfs" in payload else []
    argv += ["-append", str(payload["cmdline"])] if "cmdline" in payload else []
    argv += ["-chardev", f"socket,id=control,fd={descriptors.control}", "-mon", "chardev=control,mode=control"]
    argv += _serial(section(config, "serial"), descriptors.serial_listener)
    argv += ["-device", BRIDGE, "-device", _json(driver="virtio-rng-pci", **_at(slots.taken[RNG]))]
    argv += _disks(config, slots) + _nets(config, slots, descriptors.taps, backends) + _rest(config, slots, descriptors)
    argv += ["-incoming", f"fd:{descriptors.saved}", "-S"] if descriptors.saved is not None else []
    return argv + (["-sandbox", SANDBOX] if sandbox else [])


def _disks(config: Json, slots: Slots) -> list[str]:
    argv: list[str] = []
    for disk in devices(config, "disks"):
        slot = slots.taken[str(disk["id"])]
        argv += ["-blockdev", _json(**disk_node(disk, slot)), "-device", _json(**disk_device(disk, slot))]
    return argv


def _nets(config: Json, slots: Slots, taps: tuple[int, ...], backends: tuple[str, ...] | None) -> list[str]:
    argv: list[str] = []
    nets = devices(config, "net")
    placed = [slots.taken[str(net["id"])] for net in nets]
    if backends is None:
        backends = tuple(f"tap,id=net{slot},fd={tap}" for slot, tap in zip(placed, taps, strict=True))
    for net, slot, behind in zip(nets, placed, backends, strict=True):
        argv += ["-netdev", behind, "-device", _json(**net_device(net, slot))]
    return argv


def _rest(config: Json, slots: Slots, descriptors: Descriptors) -> list[str]:
    argv: list[str] = []
    if descriptors.vsock is not None:
        slot = slots.taken[str(section(config, "vsock")["id"])]
        argv += ["-chardev", f"socket,id=vsock{slot},fd={descriptors.vsock}"]
        for device in vsock_devices(slot):
            argv += ["-device", _json(**device)]
    if BALLOON in slots.taken:
        argv += ["-device", _json(**balloon_device(section(config, "balloon"), slots.taken[BALLOON]))]
    return argv


def _serial(serial: Json, listener: int | None) -> list[str]:
    match serial.get("mode"):
        case "Socket":
            return ["-chardev", f"socket,id=serial,fd={listener},server=on,wait=off", "-serial", "chardev:serial"]
        case "File":
            path = str(serial.get("file")).replace(",", ",,")
            return ["-chardev", f"file,id=serial,path={path},append=on", "-serial", "chardev:serial"]
        case "Tty":
            return ["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]
        case "Null":
            return ["-serial", "null"]
    return []


def disk_node(disk: Json, slot: int) -> Json:
    """A disk's block node, for the command line and for `blockdev-add`."""
    discard = "unmap" if disk.get("sparse") else "ignore"
    file = {"driver": "file", "filename": disk.get("path"), "discard": discard}
    readonly = bool(disk.get("readonly"))
    return {"driver": "raw", "file": file, "discard": discard, "node-name": f"disk{slot}", "read-only": readonly}


def disk_device(disk: Json, slot: int) -> Json:
    """The device over `disk_node`, for the command line and for `device_add`."""
    device: Json = {"driver": "virtio-blk-pci", "id": f"blk{slot}", "drive": f"disk{slot}", **_modern(slot)}
    return device | ({"serial": disk["serial"]} if "serial" in disk else {})


def net_device(net: Json, slot: int) -> Json:
    """A network card over the backend `net<slot>`. Without a boot ROM the firmware does not boot from the network."""
    card = {"driver": "virtio-net-pci", "id": f"nic{slot}", "netdev": f"net{slot}", "mac": net.get("mac")}
    return {**card, **_modern(slot), "romfile": ""}


def vsock_devices(slot: int) -> tuple[Json, Json]:
    """QEMU has no vsock of its own without the host kernel's: a serial port carries the connections."""
    bus: Json = {"driver": "virtio-serial-pci", "id": f"ports{slot}", "max_ports": 2, **_modern(slot)}
    port: Json = {"driver": "virtserialport", "bus": f"ports{slot}.0", "chardev": f"vsock{slot}", "name": PORT_NAME}
    return bus, port


def balloon_device(balloon: Json, slot: int) -> Json:
    """The balloon, which is empty at first."""
    options = {name: bool(balloon.get(key)) for name, key in _BALLOON_OPTIONS.items()}
    return {"driver": "virtio-balloon-pci", "id": f"balloon{slot}", **_modern(slot), **options}


_BALLOON_OPTIONS = {"deflate-on-oom": "deflate_on_oom", "free-page-reporting": "free_page_reporting"}


def _modern(slot: int) -> Json:
    return {**_at(slot), "disable-legacy": "on"}


def _at(slot: int) -> Json:
    return {"bus": BUS, "addr": f"{slot:x}"}


def _json(**values: object) -> str:
    return json.dumps(values, separators=(",", ":"))
