"""Seconds from starting QEMU by hand to the first page of the example's `web`, with nothing of ours around it.

The same guest on the same virtual machine as the dev hypervisor gives it, but with QEMU's user network: what
`./dev demo` compares itself with. Making the guest and its image does not count.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from os import environ
from pathlib import Path

import trio

from benchmarks._figures import Figure
from nix import commands
from nix.environment import NixEnvironment
from nix.example import prepare_clone
from nix.parts import make_parts
from nix.run import open_process, run
from schema.errors import DeadlineExceeded, Unavailable
from worker.vmm.dev.qemu_arguments import ACCELERATORS, MACHINE, PROCESSOR, PROGRAM

EXAMPLE = Path(__file__).resolve().parents[1] / "example"
WEB = "nixosConfigurations.web.config.system.build.toplevel"
DEADLINE = 120.0
ASK_SECONDS = 0.05
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


async def build_web(work: Path, cache: Path) -> str:
    """The toplevel of the example's `web`, built in this machine's store."""
    nix = NixEnvironment(work / "nix").write()
    parts = await make_parts(cache, say=partial(print, file=sys.stderr))
    clone = await prepare_clone(EXAMPLE, work / "clone", parts, nix=nix)
    return (await commands.build(nix, await clone.flake(), WEB, jail=None, deadline=DEADLINE)).out


async def make_image(work: Path, toplevel: str) -> Path:
    """An erofs image of the closure, as the guest contract in nix/README.md wants it."""
    nix = NixEnvironment(work / "nix").write()
    closure = await commands.path_info(nix, [toplevel], deadline=60)
    root, image = work / "root", work / "store.erofs"
    root.mkdir()
    await run(["cp", "-a", "--", *closure, str(root)], deadline=60, env={})
    await run(["mkfs.erofs", "-T1", "--all-root", str(image), str(root)], deadline=60, env={})
    return image


def qemu_argv(toplevel: Path, image: Path, *, port: int, serial: Path) -> list[str]:
    """QEMU with the devices that the dev hypervisor gives a guest, of which nobody speaks with the agent's port.

    `port` of 127.0.0.1 is led to the guest's port 80.
    """
    on_slot = ",bus=slots,disable-legacy=on"
    cmdline = f"{(toplevel / 'kernel-params').read_text()} init={toplevel}/init"
    return [
        *(PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", MACHINE, "-accel", ACCELERATORS["tcg"], "-cpu", PROCESSOR, "-m", "128"),
        *("-kernel", str((toplevel / "kernel").resolve()), "-initrd", str((toplevel / "initrd").resolve())),
        *("-append", cmdline, "-serial", f"file:{serial}"),
        *("-drive", f"id=store,if=none,format=raw,readonly=on,file={image}"),
        *("-device", "pcie-pci-bridge,id=slots,bus=pcie.0,addr=1"),
        *("-device", "virtio-rng-pci,bus=slots,addr=1"),
        *("-device", f"virtio-blk-pci,drive=store,serial=store,addr=2{on_slot}"),
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:80"),
        *("-device", f"virtio-net-pci,netdev=net,romfile=,addr=3{on_slot}"),
        *("-chardev", "null,id=nobody", "-device", f"virtio-serial-pci,id=ports,max_ports=2,addr=4{on_slot}"),
        *("-device", "virtserialport,bus=ports.0,chardev=nobody,name=procurator.vsock"),
    ]


@asynccontextmanager
async def booted(toplevel: Path, image: Path, *, work: Path) -> AsyncIterator[tuple[float, bytes]]:
    """A guest that has answered: the seconds that it took and the page. It is ended with the block."""
    port, serial = await _free_port(), work / "serial.log"
    started = trio.current_time()
    argv = qemu_argv(toplevel, image, port=port, serial=serial)
    async with open_process(argv, env={}, stdin=None, stdout=None, stderr=None, grace=0.5) as qemu:
        page = b""
        with trio.move_on_after(DEADLINE) as waiting:
            page = await first_page("127.0.0.1", port, alive=lambda: qemu.poll() is None)
        if waiting.cancelled_caught:
            raise DeadlineExceeded(f"no page within {DEADLINE:g} s: {_tail(serial)}")
        if not page:
            raise Unavailable(f"QEMU ended with {qemu.returncode}: {_tail(serial)}")
        yield trio.current_time() - started, page


def _tail(serial: Path) -> str:
    return serial.read_text(errors="replace")[-2000:]


async def first_page(host: str, port: int, *, alive: Callable[[], bool] = lambda: True) -> bytes:
    """The page as soon as there is one, or nothing when what serves it is no longer `alive`.

    A question that came too soon is left unanswered for long, by the guest's kernel and by QEMU's user network, so a
    new one is asked every `ASK_SECONDS` beside those that wait.
    """
    page = b""
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            nonlocal page
            page = page or await _page(host, port)
            if page:
                nursery.cancel_scope.cancel()

        while alive():
            nursery.start_soon(ask)
            await trio.sleep(ASK_SECONDS)
        nursery.cancel_scope.cancel()
    return page


async def _page(host: str, port: int) -> bytes:
    """The body of a 200, else nothing. QEMU takes connections before the guest does, so the reading is bounded too."""
    answer = b""
    with trio.move_on_after(0.5):
        try:
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.send_all(REQUEST)
                async for chunk in stream:
                    answer += chunk
        except (OSError, trio.BrokenResourceError):
            return b""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if b" 200 " in head.partition(b"\r\n")[0] else b""


async def _free_port() -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    await trio.aclose_forcefully(listeners[0])
    return port


async def measure(*, runs: int, toplevel: str | None, cache: Path) -> Figure:
    """Boot `runs` times, one after the other."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="direct-boot-") as directory:
        work = Path(directory)
        system = toplevel or await build_web(work, cache)
        image = await make_image(work, system)
        for _ in range(runs):
            async with booted(Path(system), image, work=work) as (took, _page_seen):
                seconds.append(round(took, 3))
    return Figure("direct_boot", statistics.median(seconds), "s", "", "", seconds)


def main() -> None:
    """`python -m benchmarks.direct_boot`."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object")
    options.add_argument("--quick", action="store_true", help="one run, which is the default")
    options.add_argument("--runs", type=int, default=1)
    options.add_argument(
        "--toplevel", help="a System in /nix/store with an httpd on port 80, in place of the example's"
    )
    chosen = options.parse_args()
    base = Path(environ["XDG_CACHE_HOME"]) if environ.get("XDG_CACHE_HOME") else Path.home() / ".cache"
    cache = base / "procurator"
    figure = trio.run(partial(measure, runs=1 if chosen.quick else chosen.runs, toplevel=chosen.toplevel, cache=cache))
    figure.show(as_json=chosen.json)


if __name__ == "__main__":
    main()
