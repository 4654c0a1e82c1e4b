"""Makes the parts that guests are built from out of Debian's packages: kernel, modules, busybox, our agent; no guest.

`python -m nix.parts CACHE` leaves them in `CACHE/parts`. Needs apt and dpkg-deb, and the network on the first run only.
"""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from nix.run import run
from schema.errors import CommandFailed, NotFound, ProcuratorError

VERSION = "3"
"""Of the layout below; parts of another version, or with another agent, are made anew."""

AGENT_SOURCE = Path(__file__).parent / "lib" / "guest" / "agent.c"
_COMPILER = {"tcc": "tcc", "musl-dev": "musl"}
"""Packages that the agent is compiled with, and where they are unpacked: a megabyte in all, and no state of theirs."""

STAGES: Mapping[str, Sequence[str]] = {
    "disk": ("virtio_pci", "virtio_mmio", "virtio_blk", "crc32c_intel", "erofs"),
    "network": ("virtio_net",),
    "later": (
        "virtio_console",
        "vmw_vsock_virtio_transport",
        "button",
        "evdev",
        "virtio_rng",
        "virtio_balloon",
        "overlay",
    ),
}
"""What the guest loads and when: to mount the store, before services start, beside them; each after what it depends
on. Debian's cloud kernel has every virtio driver as a module, and ext4 and the 8250 serial port built in."""

Say = Callable[[str], None]

_KERNEL = "linux-image-cloud-amd64"
_SIGNATURE = b"~Module signature appended~\n"
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_KERNEL_PACKAGE = re.compile(r"^Depends:.*?\b(linux-image-[0-9][A-Za-z0-9.+-]*)", re.MULTILINE)


async def make_parts(cache: Path, *, say: Say = print) -> Path:
    """`cache/parts`, made if it is not there yet: `bzImage`, `modules/`, `bin/` with busybox and the guest's agent.

    Files have mtime 1 and no write bits, so the same packages give the same store path on every machine. Downloads
    stay in `cache/downloads`. Tells `say` what it does. Raises `CommandFailed` or `DeadlineExceeded`, of apt.
    """
    parts, downloads = cache / "parts", cache / "downloads"
    if _complete(parts):
        return parts
    downloads.mkdir(parents=True, exist_ok=True)
    packages = await _packages(downloads, say=say)
    # In a directory of its own, so that two who make them at once do not meet before the rename.
    with TemporaryDirectory(prefix="making-parts-", dir=cache) as work:
        fresh, unpacked = Path(work, "parts"), Path(work, "unpacked")
        for name, package in packages.items():
            say(f"unpacking {package.name}")
            (unpacked / name).mkdir(parents=True)
            await _apt(["dpkg-deb", "-x", str(package), str(unpacked / name)], cwd=cache)
        applets = (await _apt([str(unpacked / "busybox/bin/busybox"), "--list"], cwd=cache)).split()
        await _compile_agent(unpacked)
        manifest = [package.name for package in packages.values()]
        lay_out = partial(_lay_out, unpacked, fresh, applets=applets, manifest=manifest)
        await trio.to_thread.run_sync(lay_out)
        if not _complete(parts):
            await trio.to_thread.run_sync(_remove, parts)
            _move(fresh, parts)
    say(f"the guest's parts are in {parts}")
    return parts


def load_order(wanted: Iterable[str], needs: Callable[[str], Sequence[str]], *, loaded: Sequence[str]) -> list[str]:
    """`wanted` with what they need, each once and after what it needs, without what is `loaded` already."""
    order: list[str] = []

    def add(name: str) -> None:
        if name not in order and name not in loaded:
            for other in needs(name):
                add(other)
            order.append(name)

    for name in wanted:
        add(name)
    return order


def module_depends(module: bytes) -> list[str]:
    """The modules that a `.ko` names in its `depends=`, by file name with underscores."""
    found = _DEPENDS.search(module)
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name] if found else []


def without_signature(module: bytes) -> bytes:
    """A `.ko` without the signature that Debian appends: its check costs an emulated guest more than the loading, and
    what the guest loads comes from a closure whose signature the worker has checked.
    """
    if not module.endswith(_SIGNATURE):
        return module
    # struct module_signature (linux/module_signature.h) ends with the length of the PKCS#7 message before it.
    length = int.from_bytes(module[-len(_SIGNATURE) - 4 : -len(_SIGNATURE)], "big")
    return module[: -len(_SIGNATURE) - 12 - length]


def version_line() -> str:
    """The first line of a manifest of parts that this program would make."""
    return f"version {VERSION} agent {hashlib.sha256(AGENT_SOURCE.read_bytes()).hexdigest()[:16]}"


def _complete(parts: Path) -> bool:
    manifest = parts / "manifest"
    return manifest.exists() and manifest.read_text().splitlines()[0] == version_line()


async def _compile_agent(unpacked: Path) -> None:
    """Static, by tcc against musl: a tenth of a megabyte that needs nothing in the guest, the same bytes everywhere."""
    compiler, musl = unpacked / "tcc", unpacked / "musl"
    own, objects = compiler / "usr/lib/x86_64-linux-gnu/tcc", musl / "usr/lib/x86_64-linux-musl"
    headers = ("-nostdinc", f"-I{musl / 'usr/include/x86_64-linux-musl'}", f"-I{own / 'include'}")
    start = (str(objects / "crt1.o"), str(objects / "crti.o"))
    end = (str(objects / "libc.a"), str(own / "libtcc1.a"), str(objects / "crtn.o"))
    command = (str(compiler / "usr/bin/tcc"), "-Wall", f"-B{own}", "-nostdlib", *headers, "-static")
    out = ("-o", str(unpacked / "guest-agent"))
    await _apt([*command, *out, *start, str(AGENT_SOURCE), *end], cwd=unpacked)


async def _packages(downloads: Path, *, say: Say) -> dict[str, Path]:
    """The packages by where they are unpacked, downloaded if there are none of any version yet."""
    try:
        return await _fetch(downloads, say=say)
    except CommandFailed:
        say("apt's lists are missing or old: updating them")
        await _apt(["apt-get", "update", "-q"])
        return await _fetch(downloads, say=say)


async def _fetch(downloads: Path, *, say: Say) -> dict[str, Path]:
    kernel = next(iter(sorted(downloads.glob("linux-image-*.deb"), reverse=True)), None)
    if kernel is None:
        about = await _apt(["apt-cache", "show", "--no-all-versions", "--", _KERNEL])
        found = _KERNEL_PACKAGE.search(about)
        if found is None:
            raise NotFound(f"apt knows no kernel behind {_KERNEL}")
        kernel = await _download(found[1], downloads, say=say)
    found_packages = {"kernel": kernel}
    for name, place in {"busybox-static": "busybox", **_COMPILER}.items():
        known = next(iter(sorted(downloads.glob(f"{name}_*.deb"), reverse=True)), None)
        found_packages[place] = known or await _download(name, downloads, say=say)
    return found_packages


async def _download(name: str, downloads: Path, *, say: Say) -> Path:
    say(f"downloading {name}")
    with TemporaryDirectory(dir=downloads) as fresh:
        argv = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "--", name]
        await _apt(argv, cwd=Path(fresh))
        (package,) = Path(fresh).glob("*.deb")
        return package.rename(downloads / package.name)


async def _apt(argv: Sequence[str], *, cwd: Path | None = None) -> str:
    env = {"LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": os.environ.get("HOME", "/")}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return (await run(argv, deadline=300, env={**env, **proxies}, cwd=cwd)).stdout.decode()


def _lay_out(unpacked: Path, parts: Path, *, applets: Sequence[str], manifest: Sequence[str]) -> None:
    (parts / "bin").mkdir(parents=True)
    (parts / "modules").mkdir()
    (kernel,) = (unpacked / "kernel/boot").glob("vmlinuz-*")
    shutil.copyfile(kernel, parts / "bzImage")
    files = {path.stem.replace("-", "_"): path for path in (unpacked / "kernel/lib/modules").rglob("*.ko")}
    loaded: list[str] = []
    for stage, wanted in STAGES.items():
        order = load_order(wanted, lambda name: _needs(name, files[name]), loaded=loaded)
        (parts / "modules" / stage).write_text("".join(f"{name}\n" for name in order))
        for name in order:
            (parts / "modules" / f"{name}.ko").write_bytes(without_signature(files[name].read_bytes()))
        loaded += order
    (parts / "kernel-release").write_text(kernel.name.removeprefix("vmlinuz-") + "\n")
    shutil.copyfile(unpacked / "busybox/bin/busybox", parts / "bin/busybox")
    for applet in applets:
        if applet != "busybox":
            (parts / "bin" / applet).symlink_to("busybox")
    shutil.copyfile(unpacked / "guest-agent", parts / "bin/guest-agent")
    (parts / "manifest").write_text("".join(f"{line}\n" for line in (version_line(), *manifest)))
    _freeze(parts)


def _needs(name: str, module: Path) -> list[str]:
    """What goes before a module; that virtio needs its ring is not said in it."""
    return [*module_depends(module.read_bytes()), *(["virtio_ring"] if name == "virtio" else [])]


def _freeze(parts: Path) -> None:
    """Mtime 1 and no write bits, everywhere."""
    for path in [*parts.rglob("*"), parts]:
        if not path.is_symlink():
            executable = path.is_dir() or path.name in ("busybox", "guest-agent")
            path.chmod(0o555 if executable else 0o444)
        os.utime(path, (1, 1), follow_symlinks=False)


def _move(frozen: Path, target: Path) -> None:
    """A directory that moves gets a new "..", which only root may write into a read-only one."""
    frozen.chmod(0o755)
    frozen.rename(target)
    target.chmod(0o555)


def _remove(path: Path) -> None:
    for directory in [path, *path.rglob("*")] if path.exists() else []:
        if directory.is_dir() and not directory.is_symlink():
            directory.chmod(0o755)
    shutil.rmtree(path, ignore_errors=not path.exists())


if __name__ == "__main__":
    try:
        trio.run(partial(make_parts, Path(sys.argv[1]).absolute()))
    except ProcuratorError as error:
        sys.exit(f"nix.parts: {error}")
