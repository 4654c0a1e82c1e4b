"""The dev hypervisor over real QEMU: serial files, resets, the power button, taps, and what dies with whom."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from schema.tests.processes import is_running
from worker.tests.vmm import tiny_kernel
from worker.tests.vmm.subjects import (
    PATIENCE,
    REAL_ONE,
    a_config,
    a_disk,
    a_folder,
    a_kernel,
    ask,
    create_and_boot,
    request,
    running,
)
from worker.vmm.config import Disk, Nic, create_request
from worker.vmm.dev.qmp import Qmp, QmpRefused, QmpSilent
from worker.vmm.port import HypervisorRefused, VmAction, VmState

# Serial file: truncated by all boots but the first


async def test_serial_file_exists_before_boot_and_later_boots_truncate_it() -> None:
    with a_folder() as folder:
        log = folder / "serial.log"
        log.write_text("old")
        body = create_request(a_config(folder)) | {"serial": {"mode": "File", "file": str(log)}}
        async with running("dev", folder) as started:
            assert ask(started, request("PUT", "vm.create", json.dumps(body).encode()))[0] == 204
            assert log.read_bytes() == b""
            for _ in range(2):
                await started.client.act(VmAction.BOOT)
                await until(lambda: log.read_bytes() == b"R\n")
                await started.client.act(VmAction.SHUTDOWN)


async def test_resetting_guest_reboots_in_place_and_keeps_its_process() -> None:
    with a_folder() as folder:
        events = folder / "events"
        kernel = a_kernel(folder, tiny_kernel.resetting_once_per_boot())
        async with running("dev", folder, "--event-monitor", f"path={events}") as started:
            await create_and_boot(started.client, a_config(folder, kernel=kernel))
            await until(lambda: told_whole(events).count(("vm", "rebooted")) >= 2)
            assert (await started.client.info()).state is VmState.RUNNING


def told_whole(path: Path) -> list[tuple[str, str]]:
    """As `told`, of a file that is being written."""
    whole = path.read_text().rpartition("}\n\n")
    parts = [json.loads(part) for part in (whole[0] + whole[1]).split("\n\n") if part.strip()]
    return [(part["source"], part["event"]) for part in parts]


# QEMU below


async def test_power_button_reaches_the_guest() -> None:
    with a_folder() as folder:
        kernel = a_kernel(folder, tiny_kernel.obeying_power_button())
        config = a_config(folder, kernel=kernel)
        async with running("dev", folder) as started:
            await started.client.create(config)
            async with await trio.open_unix_socket(config.serial_socket) as serial:
                await started.client.act(VmAction.BOOT)
                with trio.fail_after(PATIENCE):
                    assert await serial.receive_some(1) == b"R"
                await started.client.act(VmAction.POWER_BUTTON)
                assert await started.exit_code() == 0


async def test_killing_the_dev_hypervisor_ends_its_qemu() -> None:
    with a_folder() as folder:
        async with running("dev", folder) as started:
            await create_and_boot(started.client, a_config(folder))
            (qemu,) = children(started.process.pid)
            started.process.send_signal(signal.SIGKILL)
            await started.exit_code()
            await until(lambda: not is_running(qemu))


async def test_dying_qemu_ends_the_process_with_0_as_a_dying_vcpu_does() -> None:
    with a_folder() as folder:
        async with running("dev", folder) as started:
            await create_and_boot(started.client, a_config(folder))
            (qemu,) = children(started.process.pid)
            signal.pidfd_send_signal(pidfd := os.pidfd_open(qemu), signal.SIGKILL)
            os.close(pidfd)
            assert await started.exit_code() == 0
            assert "VCPU generated error" in started.stderr.read_text()


async def test_disk_held_by_another_vm_fails_on_the_lock() -> None:
    with a_folder() as one, a_folder() as other:
        disk = (Disk(str(a_disk(one)), "a", readonly=False),)
        async with running("dev", one) as first, running("dev", other) as second:
            await create_and_boot(first.client, a_config(one, disks=disk))
            with pytest.raises(HypervisorRefused, match="Another instance likely holds a lock"):
                await create_and_boot(second.client, a_config(other, disks=disk))


# Taps (root)


@contextmanager
def a_persistent_tap() -> Iterator[str]:
    name = f"pvt{os.getpid()}"
    ip("tuntap", "add", "dev", name, "mode", "tap")
    try:
        yield name
    finally:
        ip("link", "delete", name)


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S607 - lies in different places
    assert done.returncode == 0, f"ip {' '.join(words)} (needs root): {done.stderr}"
    return done.stdout


def a_nic(tap: str) -> tuple[Nic]:
    return (Nic(tap, "02:00:5e:00:53:01"),)


@pytest.mark.parametrize("kind", ["dev", REAL_ONE])
async def test_a_persistent_tap_is_used_set_up_and_survives(kind: str) -> None:
    with a_folder() as folder, a_persistent_tap() as tap:
        async with running(kind, folder) as started:
            await create_and_boot(started.client, a_config(folder, nics=a_nic(tap)))
            assert ",UP" in ip("link", "show", tap)
            counters = await started.client.counters()
            (name,) = (name for name in counters if name.startswith("_net"))
            assert {"rx_bytes", "rx_frames", "tx_bytes", "tx_frames"} <= counters[name].keys()
            await started.client.act(VmAction.SHUTDOWN_VMM)
            await started.exit_code()
        assert tap in ip("-brief", "link")


@pytest.mark.parametrize("kind", ["dev", REAL_ONE])
async def test_a_missing_tap_is_made_and_goes_with_the_vm(kind: str) -> None:
    tap = f"pvm{os.getpid()}"
    with a_folder() as folder:
        async with running(kind, folder) as started:
            await create_and_boot(started.client, a_config(folder, nics=a_nic(tap)))
            assert ",UP" in ip("link", "show", tap)
            await started.client.act(VmAction.DELETE)
            assert tap not in ip("-brief", "link")


@pytest.mark.parametrize("kind", ["dev", REAL_ONE])
async def test_a_tap_in_use_fails_on_the_device_and_drops_the_nics(kind: str) -> None:
    with a_folder() as one, a_folder() as other, a_persistent_tap() as tap:
        async with running(kind, one) as first, running(kind, other) as second:
            await create_and_boot(first.client, a_config(one, nics=a_nic(tap)))
            await second.client.create(a_config(other, nics=a_nic(tap)))
            with pytest.raises(HypervisorRefused) as failed:
                await second.client.act(VmAction.BOOT)
            assert failed.value.causes == (
                "The VM could not boot",
                "Error from device manager",
                "Cannot create virtio-net device",
                "Failed to open taps",
                "Open tap device failed",
                "Unable to configure tap interface",
                "Device or resource busy (os error 16)",
            )
            assert "net" not in (await second.client.info()).config


@pytest.mark.parametrize("kind", ["dev", REAL_ONE])
async def test_a_network_card_is_added_on_a_tap_and_gets_an_id_and_a_mac(kind: str) -> None:
    with a_folder() as folder, a_persistent_tap() as tap:
        async with running(kind, folder) as started:
            await create_and_boot(started.client, a_config(folder))
            status, _, answer = ask(started, request("PUT", "vm.add-net", json.dumps({"tap": tap}).encode()))
            assert (status, json.loads(answer)["id"]) == (200, "_net0")
            (net,) = json.loads(ask(started, request("GET", "vm.info"))[2])["config"]["net"]
            assert (net["tap"], net["id"], net["mac"][:3]) == (tap, "_net0", "2e:")
            assert "_net0" in await started.client.counters()
            status, _, answer = ask(started, request("PUT", "vm.add-net", json.dumps({"tap": tap}).encode()))
            assert (status, json.loads(answer)[-1]) == (500, "Device or resource busy (os error 16)")
            assert len(json.loads(ask(started, request("GET", "vm.info"))[2])["config"]["net"]) == 1


async def test_a_tap_name_over_15_bytes_is_told() -> None:
    with a_folder() as folder:
        body = create_request(a_config(folder)) | {"net": [{"tap": "x" * 16}]}
        async with running("dev", folder) as started:
            assert ask(started, request("PUT", "vm.create", json.dumps(body).encode()))[0] == 204
            with pytest.raises(HypervisorRefused, match="Interface name too long"):
                await started.client.act(VmAction.BOOT)


def test_the_dev_hypervisor_loads_nothing_but_our_own_and_the_standard_library() -> None:
    """So it answers its first ping quickly, however slow the machine."""
    loads = "before = set(sys.modules); import worker.vmm.dev.app; loaded = set(sys.modules) - before"
    names = "{name.partition('.')[0] for name in loaded} - sys.stdlib_module_names"
    script = f"import sys; {loads}; print(*sorted({names}))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert said.stdout.split() == ["worker"]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    with trio.fail_after(seconds):
        while not true():  # noqa: ASYNC110 - another process makes it true
            await trio.sleep(0.01)


# Its monitor


def test_an_answer_that_comes_after_its_deadline_is_thrown_away() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monitor = Qmp(ours)
        with pytest.raises(QmpSilent):
            monitor.execute("slow", seconds=0.01)
        event = b'{"event": "RESET", "data": {"guest": true}}'
        theirs.sendall(b'{"return": "late", "id": 1}\n' + event + b'\n{"return": "mine", "id": 2}\n')
        assert monitor.execute("next") == "mine"
        assert [told["event"] for told in monitor.events()] == ["RESET"]


def test_what_qemu_refuses_is_told_in_its_words_and_descriptors_go_along() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as file:
        theirs.sendall(b'{"id": 1, "error": {"class": "GenericError", "desc": "no room"}}\n')
        with pytest.raises(QmpRefused, match=r"^no room$"):
            Qmp(ours).execute("getfd", {"fdname": "f"}, descriptor=file.fileno())
        data, descriptors, _, _ = socket.recv_fds(theirs, 4096, 1)
        assert json.loads(data) == {"execute": "getfd", "id": 1, "arguments": {"fdname": "f"}}
        assert os.fstat(descriptors[0]).st_ino == os.fstat(file.fileno()).st_ino
        os.close(descriptors[0])
