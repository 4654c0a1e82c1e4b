"""QEMU's command line for a configuration; it opens and starts nothing.

q35 by measurement (QEMU 7.2, TCG, Debian's 6.1 kernel): microvm boots 0.3 s sooner, but its PIT is the only reference
for the time-stamp counter, and one boot in ten hung there on a busy host; q35 also has the hot-plug ports of later.
The processor `qemu64` with x86-64-v2's features boots 0.5 s sooner than `max`. A translation buffer of 32 MiB costs no
time against 128 and saves 6 MiB and more; with 8 MiB a boot takes twice as long.
"""

import json
from typing import NamedTuple

from worker.vmm.dev.answers import Json
from worker.vmm.dev.vm_config import devices, number, section

PROGRAM = "qemu-system-x86_64"
MACHINE = "q35,smm=off,vmport=off,sata=off,smbus=off,i8042=off,usb=off,hpet=on"
PROCESSOR = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand"
ACCELERATORS = {"tcg": "tcg,thread=multi,tb-size=32", "kvm": "kvm"}
PORT_NAME = "procurator.vsock"
"""By which the guest's agent finds the port."""
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
FIRST_DEVICE_SLOT = 2
"""Slot 1 is the random number generator's; `device_tree` counts the same way."""


class Descriptors(NamedTuple):
    """What QEMU inherits, open: its control socket, the serial socket's listener, a tap for each card, the vsock."""

    control: int
    serial_listener: int | None
    taps: tuple[int, ...]
    vsock: int | None = None

    @property
    def all(self) -> tuple[int, ...]:
        """Every descriptor to hand down."""
        listener = () if self.serial_listener is None else (self.serial_listener,)
        vsock = () if self.vsock is None else (self.vsock,)
        return (self.control, *listener, *self.taps, *vsock)


def arguments(config: Json, *, descriptors: Descriptors, accelerator: str, sandbox: bool) -> list[str]:
    """The whole argv. Ids are ours (`disk0`, `net0`): QEMU takes none that starts with an underscore."""
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
    argv += ["-device", _json(driver="virtio-rng-pci", bus="pcie.0", addr="1")]
    slot = FIRST_DEVICE_SLOT
    for index, disk in enumerate(devices(config, "disks")):
        argv += _disk(disk, index=index, slot=slot + index)
    slot += len(devices(config, "disks"))
    for index, (net, tap) in enumerate(zip(devices(config, "net"), descriptors.taps, strict=True)):
        argv += _net(net, index=index, slot=slot + index, tap=tap)
    slot += len(devices(config, "net"))
    if descriptors.vsock is not None:
        argv += _vsock(slot=slot, descriptor=descriptors.vsock)
    return argv + (["-sandbox", SANDBOX] if sandbox else [])


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


def _disk(disk: Json, *, index: int, slot: int) -> list[str]:
    readonly = bool(disk.get("readonly"))
    discard = "unmap" if disk.get("sparse") else "ignore"
    file = {"driver": "file", "filename": disk.get("path"), "discard": discard}
    name = f"disk{index}"
    node = _json(driver="raw", file=file, discard=discard, **{"node-name": name, "read-only": readonly})
    device = {"driver": "virtio-blk-pci", "id": f"blk{index}", "drive": name, **_modern(slot)}
    if "serial" in disk:
        device["serial"] = disk["serial"]
    return ["-blockdev", node, "-device", _json(**device)]


def _net(net: Json, *, index: int, slot: int, tap: int) -> list[str]:
    device = {"driver": "virtio-net-pci", "id": f"nic{index}", "netdev": f"net{index}", "mac": net.get("mac")}
    # Without a boot ROM the firmware does not try to boot from the network.
    return ["-netdev", f"tap,id=net{index},fd={tap}", "-device", _json(**device, **_modern(slot), romfile="")]


def _vsock(*, slot: int, descriptor: int) -> list[str]:
    """QEMU has no vsock of its own without the host kernel's: a serial port carries the connections."""
    bus = _json(driver="virtio-serial-pci", id="ports", max_ports=2, **_modern(slot))
    port = _json(driver="virtserialport", bus="ports.0", chardev="vsock", name=PORT_NAME)
    return ["-chardev", f"socket,id=vsock,fd={descriptor}", "-device", bus, "-device", port]


def _modern(slot: int) -> Json:
    return {"bus": "pcie.0", "addr": f"{slot:x}", "disable-legacy": "on"}


def _json(**values: object) -> str:
    return json.dumps(values, separators=(",", ":"))
