"""The example's guests on QEMU by hand, without anything of the worker."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from nix.commands import path_info
from nix.run import open_process, run
from nix.tests.places import REPOSITORY
from nix.tests.test_example import a_clone, system_of

pytestmark = pytest.mark.guest


async def an_image(tmp_path: Path, closure: list[str]) -> Path:
    root, image = tmp_path / "root", tmp_path / "store.erofs"
    root.mkdir()
    await run(["cp", "-a", "--", *closure, str(root)], deadline=120, env={})
    await run(["mkfs.erofs", "-T1", "--all-root", str(image), str(root)], deadline=120, env={})
    return image


async def test_web_answers_with_its_page() -> None:
    argv = [sys.executable, "-m", "benchmarks.direct_boot", "--json"]
    done = await run(argv, deadline=200, env={"HOME": str(Path.home())}, cwd=REPOSITORY)
    figure = json.loads(done.stdout)
    assert (figure["name"], figure["unit"], len(figure["runs"])) == ("direct_boot", "s", 1)
    assert 0 < figure["value"] < 120


async def until(serial: Path, text: str) -> None:
    with trio.fail_after(120):
        while not serial.exists() or text not in serial.read_text(errors="replace"):  # noqa: ASYNC110 - a file tells nobody
            await trio.sleep(0.05)


async def test_db_keeps_its_data_and_goes_down_by_the_power_button(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path)
    system = Path(await system_of(clone, "db"))
    image = await an_image(tmp_path, list(await path_info(clone.nix, [str(system)], deadline=120)))
    volume, serial, monitor = tmp_path / "volume", tmp_path / "serial", tmp_path / "monitor"
    await run(["truncate", "-s", "64M", str(volume)], deadline=120, env={})
    await run(["mkfs.ext4", "-q", str(volume)], deadline=120, env={})
    argv = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35,sata=off,smbus=off,vmport=off", "-accel", "tcg", "-cpu", "max", "-m", "128"),
        *("-kernel", str((system / "kernel").resolve()), "-initrd", str((system / "initrd").resolve())),
        *("-append", f"{(system / 'kernel-params').read_text()} init={system}/init"),
        *("-serial", f"file:{serial}", "-monitor", f"unix:{monitor},server,nowait"),
        *(
            "-drive",
            f"id=s,if=none,format=raw,readonly=on,file={image}",
            "-device",
            "virtio-blk-pci,drive=s,serial=store",
        ),
        *("-drive", f"id=v,if=none,format=raw,file={volume}"),
        # "vol-" and the first 16 hex digits of the SHA-256 of the volume's name, "data".
        *("-device", "virtio-blk-pci,drive=v,serial=vol-3a6eb0790f39ac87"),
        *("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="),
    ]
    async with open_process(argv, env={}, stdin=None, stdout=None, stderr=None) as qemu:
        await until(serial, "network: 10.0.2.15")
        async with await trio.open_unix_socket(str(monitor)) as control:
            with trio.fail_after(120):
                while qemu.poll() is None:  # the button's driver is loaded some time after the network is up
                    with suppress(trio.BrokenResourceError):  # it has gone down meanwhile
                        await control.send_all(b"system_powerdown\n")
                    with trio.move_on_after(1):
                        await qemu.wait()
            assert await qemu.wait() == 0
    log = serial.read_text(errors="replace")
    assert "power button: going down" in log
    assert "reboot: Power down" in log
    listing = await run(["debugfs", "-R", "ls -p /", str(volume)], deadline=120, env={})
    assert b"lost+found" in listing.stdout
    state = await run(["dumpe2fs", "-h", str(volume)], deadline=120, env={})
    assert b"clean" in state.stdout, "the volume was unmounted"


async def test_a_volume_is_found_by_the_serial_made_of_its_name(tmp_path: Path) -> None:
    clone = await a_clone(tmp_path)
    system = Path(await system_of(clone, "db"))
    volumes = (system / "etc/volumes").read_text()
    assert volumes == "vol-3a6eb0790f39ac87 /var/lib/db\n"
