"""A System with the units that guest.nix declares and this machine's own systemd to carry them out.

As near to a NixOS guest as one comes without nixpkgs: disks, units, network and console are those of the module;
kernel, initrd and programs are Debian's. It decides nothing about the module, and evaluates nothing.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nix.run import run
from nix.tests.units import unit

PACKAGES = (
    *("systemd", "udev", "dbus", "dbus-bin", "dbus-daemon", "dbus-system-bus-common"),
    *("mount", "util-linux", "coreutils", "dash", "bash", "e2fsprogs", "iproute2", "libc6"),
)
SKIPPED = (
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/locale",
    "/usr/share/bash-completion",
    "/usr/lib/x86_64-linux-gnu/gconv",
)
NEEDS = ("/lib/systemd/systemd", "/lib/systemd/systemd-networkd", "/usr/bin/dbus-daemon", "/bin/udevadm")
USERS = ("root:x:0:0::/root:/bin/sh", "messagebus:x:100:100::/:/bin/false", "systemd-network:x:998:998::/:/bin/false")
GROUPS = (
    "root:0 messagebus:100 systemd-network:998 tty:5 disk:6 kmem:15 input:101 kvm:102 render:103 video:44 audio:29 "
)
GROUPS += "sgx:104 cdrom:24 dialout:20 lp:7 tape:26 utmp:43"
NOT_OF_A_GUEST_WITHOUT_EMERGENCY_MODE = ("emergency.target", "emergency.service")
INIT = """#!/bin/sh
export PATH=/bin
mount -t devtmpfs devtmpfs /dev; mount -t proc proc /proc; mount -t sysfs sysfs /sys
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
for word in $(cat /proc/cmdline); do case $word in init=*) system=${word#init=} ;; esac; done
system=${system%/init}
disk=
while [ -z "$disk" ]; do
  for file in /sys/block/vd*/serial; do
    read -r serial <"$file" # which ends without a newline
    [ "$serial" = store ] && disk=${file%/serial}
  done
  usleep 20000
done
mount -t tmpfs -o mode=0755 root /sysroot
cd /sysroot && mkdir -p nix/store usr dev proc sys run var root tmp etc
mount -t erofs -o ro "/dev/${disk##*/}" nix/store
mount -o bind "/sysroot$system/usr" usr
cp -a "/sysroot$system/etc/." etc/
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
for name in dev proc sys; do mount -o move "/$name" "$name"; done
exec switch_root /sysroot /lib/systemd/systemd
"""


def is_possible() -> bool:
    """Whether this machine has what is lent to the guest."""
    return all(Path(file).exists() for file in NEEDS)


async def make_system(folder: Path, declared: Mapping[str, Any], parts: Path) -> None:
    """The System's one store path. `declared` is what the module comes to, `parts` those of `nix.parts`."""
    await _lend_programs(folder)
    shutil.copy(parts / "bin/guest-agent", folder / "usr/bin/guest-agent")
    for name in NOT_OF_A_GUEST_WITHOUT_EMERGENCY_MODE:
        (folder / "usr/lib/systemd/system" / name).unlink()
    for path, text in _etc(declared):
        (folder / "etc" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "etc" / path).write_text(text)
    for name, service in declared["services"].items():
        for target in service["wantedBy"]:
            wants = folder / "etc/systemd/system" / f"{target}.wants"
            wants.mkdir(parents=True, exist_ok=True)
            (wants / f"{name}.service").symlink_to(f"../{name}.service")
    system = folder / "etc/systemd/system"
    (system / "multi-user.target.wants/systemd-networkd.service").symlink_to(
        "/lib/systemd/system/systemd-networkd.service"
    )
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    shutil.copy(parts / "bzImage", folder / "kernel")
    (folder / "init").symlink_to("usr/lib/systemd/systemd")
    (folder / "initrd").write_bytes(_initrd(parts))


def _etc(declared: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "fstab", "".join(_mount(point, file) for point, file in declared["fileSystems"].items())
    yield "systemd/system/local-fs.target.d/overrides.conf", unit({"Unit": declared["local-fs"]})
    for name, service in declared["services"].items():
        yield f"systemd/system/{name}.service", _service(name, service, declared["environment"])
        if service["script"]:
            yield f"scripts/{name}", service["script"]
    for name, network in declared["networks"].items():
        sections = {
            "Match": network["matchConfig"],
            "Network": network["networkConfig"],
            "DHCPv4": network["dhcpV4Config"],
        }
        yield f"systemd/network/{name}.network", unit(sections)
    yield "tmpfiles.d/00-nixos.conf", "".join(f"{rule}\n" for rule in declared["tmpfiles"])
    # What NixOS itself brings beside it.
    yield "passwd", "".join(f"{user}\n" for user in USERS)
    yield "group", "".join(f"{name}:x:{number}:\n" for name, number in (each.split(":") for each in GROUPS.split()))
    yield "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"
    yield "os-release", "ID=nixos\nNAME=NixOS\n"
    yield "machine-id", ""


def _mount(point: str, file: Mapping[str, Any]) -> str:
    options = [*(["x-initrd.mount"] if file["neededForBoot"] else []), *file["options"]]
    options += ["x-systemd.growfs"] if file["autoResize"] else []
    return f"{file['device']} {point} {file['fsType']} {','.join(options)} 0 0\n"


def _service(name: str, service: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    start = {"ExecStart": f"/bin/bash -e /etc/scripts/{name}"} if service["script"] else {}
    start |= {"ExecStart": "/usr/bin/guest-agent"} if name == "procurator-agent" else {}
    said = {"Environment": [f'"{key}={value}"' for key, value in environment.items()]} if environment else {}
    depends = {key.capitalize(): " ".join(service[key]) for key in ("wants", "after", "before") if service[key]}
    return unit(
        {"Unit": {**depends, **service["unitConfig"]}, "Service": {**service["serviceConfig"], **said, **start}}
    )


async def _lend_programs(folder: Path) -> None:
    """This machine's files of `PACKAGES`, and the libraries that they load, with everything below /usr."""
    listed = (await run(("dpkg", "-L", *PACKAGES), deadline=30, env={}, check=False)).stdout.decode()
    files = [
        Path(line) for line in listed.splitlines() if line.startswith("/") and not line.startswith((*SKIPPED, "/etc"))
    ]
    # Not the links in the root itself, which the guest's own are for.
    files = [file for file in files if (file.is_symlink() or file.is_file()) and file.parent != Path("/")]
    for file in [*files, *(await _libraries(files))]:
        target = folder / (Path("/usr") / _below_usr(file)).relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink() and not target.exists():
            shutil.copy2(file, target, follow_symlinks=False)


def _below_usr(file: Path) -> Path:
    """Where it is on a machine whose /bin, /sbin and /lib are links into /usr."""
    place = Path(os.path.realpath(file.parent)) / file.name
    return place.relative_to("/usr") if place.is_relative_to("/usr") else place.relative_to("/")


async def _libraries(files: Iterable[Path]) -> list[Path]:
    programs = [str(file) for file in files if not file.is_symlink() and file.read_bytes()[:4] == b"\x7fELF"]
    said = (await run(("ldd", *programs), deadline=120, env={}, check=False)).stdout.decode()
    found = sorted(
        {word for line in said.splitlines() if line.startswith("\t") for word in line.split() if word[0] == "/"}
    )
    return [Path(each) for word in found for each in (word, os.path.realpath(word))]


def _initrd(parts: Path) -> bytes:
    """A newc archive: busybox, the parts' modules in their order, and `INIT`."""
    order = [
        module for stage in ("disk", "network", "later") for module in (parts / "modules" / stage).read_text().split()
    ]
    entries = [(name, 0o040755, b"") for name in ("bin", "dev", "proc", "sys", "sysroot", "modules")]
    entries += [("init", 0o100755, INIT.encode()), ("bin/busybox", 0o100755, (parts / "bin/busybox").read_bytes())]
    for applet in ("sh", "mount", "insmod", "mkdir", "cat", "cp", "ln", "usleep", "switch_root"):
        entries.append((f"bin/{applet}", 0o120777, b"busybox"))
    entries.append(("modules/order", 0o100644, "".join(f"{module}\n" for module in order).encode()))
    entries += [(f"modules/{name}.ko", 0o100644, (parts / f"modules/{name}.ko").read_bytes()) for name in order]
    return b"".join(_entry(number, *entry) for number, entry in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1))


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
