"""A real Linux under the dev hypervisor: what is asked of the hypervisor is seen inside."""

from pathlib import Path

import pytest
import trio

from nix.parts import make_parts
from schema.errors import ProcuratorError, Unavailable
from worker.guest.channel import GuestChannel
from worker.tests.vmm import little_guest
from worker.tests.vmm.subjects import PATIENCE, Running, a_disk, a_folder, create_and_boot, running
from worker.vmm.client import CloudHypervisor
from worker.vmm.config import Disk, Size, VmConfig
from worker.vmm.port import VmAction, VmState

MEMORY = 128 * 2**20
BOOT_SECONDS = 90.0


class Guest:
    """A little guest's inside."""

    def __init__(self, socket: Path) -> None:
        self._channel = GuestChannel(socket)

    async def says(self, script: str) -> str:
        """What a shell script in it says; asked again until an agent listens."""
        with trio.fail_after(BOOT_SECONDS):
            while True:
                try:
                    done = await self._channel.exec("sh", ("-c", script), deadline_ms=60_000)
                except Unavailable:
                    await trio.sleep(0.1)
                    continue
                assert done.exit_code == 0, done
                return done.stdout.decode().strip()

    async def becomes(self, script: str, wanted: str) -> None:
        """Wait until a script says `wanted`."""
        with trio.fail_after(PATIENCE):
            while await self.says(script) != wanted:  # noqa: ASYNC110 - a guest tells no event
                await trio.sleep(0.05)

    async def boot_id(self) -> str:
        return await self.says("cat /proc/sys/kernel/random/boot_id")

    async def is_silent(self) -> bool:
        with trio.move_on_after(0.7):
            try:
                await self._channel.facts(deadline=0.5)
            except ProcuratorError:
                return True
            return False
        return True


async def a_guest(folder: Path) -> VmConfig:
    parts = await make_parts(little_guest.CACHE)
    return VmConfig(
        cpus=1,
        memory_bytes=MEMORY,
        kernel=str(parts / "bzImage"),
        initrd=str(little_guest.initrd(parts, folder / "initrd")),
        cmdline="console=ttyS0 quiet",
        serial_socket=str(folder / "serial.sock"),
        vsock_socket=str(folder / "vsock.sock"),
        balloon_bytes=0,
        disks=(Disk(str(a_disk(folder, "one.raw")), "one", readonly=False),),
    )


SERIALS = "cat /sys/block/vd*/serial"


@pytest.mark.guest
async def test_a_real_guest_sees_what_is_asked_of_its_hypervisor() -> None:
    with a_folder() as folder:
        async with running("dev", folder) as started:
            guest = Guest(folder / "vsock.sock")
            await create_and_boot(started.client, await a_guest(folder))
            first = await guest.boot_id()
            await disks_come_and_go(started, guest)
            await it_stands_still_while_paused(started.client, guest)
            await it_gives_up_memory(started.client, guest)
            await it_goes_on_from_a_snapshot(started.client, guest, folder)
            assert await guest.boot_id() == first
            await started.client.act(VmAction.REBOOT)
            assert await guest.boot_id() != first
            assert await guest.says(SERIALS) == "onetwo", "what was added is still there after a reboot"


async def disks_come_and_go(started: Running, guest: Guest) -> None:
    content = b"content of the second disk"
    for name in ("two", "three"):
        a_disk(started.folder, f"{name}.raw").write_bytes(content.ljust(2**20, b"\0"))
    await started.client.add_disk(Disk(str(started.folder / "two.raw"), "two", readonly=False))
    await guest.becomes(SERIALS, "onetwo")
    assert await guest.says("head -c 26 /dev/vdb; echo -n written >/dev/vdb; sync") == content.decode()
    assert (started.folder / "two.raw").read_bytes().startswith(b"written")
    three = await started.client.add_disk(Disk(str(started.folder / "three.raw"), "three", readonly=True))
    await guest.becomes(SERIALS, "onetwothree")
    assert three is not None
    assert await guest.says(f"grep -l . /sys/bus/pci/devices/{three.bdf}/virtio*/block/vdc/serial | wc -l") == "1"
    assert await guest.says("cat /sys/block/vdc/ro") == "1"
    await started.client.remove_device(three.device)
    await guest.becomes(SERIALS, "onetwo")
    again = await started.client.add_disk(Disk(str(started.folder / "three.raw"), "again", readonly=True))
    assert again is not None
    assert again.device != three.device, "an id is not used twice"
    await guest.becomes(SERIALS, "onetwoagain")
    await started.client.remove_device(again.device)
    await guest.becomes(SERIALS, "onetwo")


async def it_stands_still_while_paused(client: CloudHypervisor, guest: Guest) -> None:
    await client.act(VmAction.PAUSE)
    assert await guest.is_silent()
    await client.act(VmAction.RESUME)
    assert await guest.says("echo awake") == "awake"


async def it_gives_up_memory(client: CloudHypervisor, guest: Guest) -> None:
    before = int(await guest.says("awk '/MemFree/ {print $2}' /proc/meminfo"))
    await client.resize(Size(balloon_bytes=32 * 2**20))
    await until_memory(client, MEMORY - 32 * 2**20)
    assert int(await guest.says("awk '/MemFree/ {print $2}' /proc/meminfo")) < before - 24 * 1024
    await client.resize(Size(balloon_bytes=0))
    await until_memory(client, MEMORY)


async def until_memory(client: CloudHypervisor, size: int) -> None:
    with trio.fail_after(PATIENCE):
        while (await client.info()).memory_bytes != size:  # noqa: ASYNC110 - the guest changes it
            await trio.sleep(0.05)


async def it_goes_on_from_a_snapshot(client: CloudHypervisor, guest: Guest, folder: Path) -> None:
    saved = folder / "saved"
    saved.mkdir()
    await guest.says("echo kept >/run/word")
    await client.act(VmAction.PAUSE)
    await client.snapshot(str(saved))
    await client.act(VmAction.RESUME)
    assert await guest.says("echo lost >/run/word; cat /run/word") == "lost", "a saved guest goes on"
    await client.act(VmAction.DELETE)
    await client.restore(str(saved), resume=False)
    assert (await client.info()).state is VmState.PAUSED
    await client.act(VmAction.RESUME)
    assert await guest.says("cat /run/word") == "kept"
    assert await guest.says(SERIALS) == "onetwo"
