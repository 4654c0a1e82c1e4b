"""The contract of the `Hypervisor` port as recorded on cloud-hypervisor v53, held to every implementation of it."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from schema.errors import Unavailable
from worker.tests.vmm.subjects import (
    PATIENCE,
    PROCESSES,
    a_config,
    a_disk,
    a_folder,
    a_kernel,
    create_and_boot,
    running,
)
from worker.vmm.config import Disk, Size, VmConfig
from worker.vmm.fake import FakeHypervisor
from worker.vmm.port import Hypervisor, HypervisorRefused, Refusal, VmAction, VmState


@dataclass(frozen=True, slots=True)
class Case:
    """A hypervisor without a VM, and a folder for files."""

    hypervisor: Hypervisor
    folder: Path
    subject: str


@pytest.fixture(params=("memory", *PROCESSES))
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    with a_folder() as folder:
        if request.param == "memory":
            with FakeHypervisor(on_host=True) as fake:
                yield Case(fake, folder, request.param)
        else:
            async with running(request.param, folder) as started:
                yield Case(started.client, folder, request.param)


async def refusal(case: Case, what: VmAction | VmConfig | str) -> HypervisorRefused:
    with pytest.raises(HypervisorRefused) as caught:
        match what:
            case VmAction():
                await case.hypervisor.act(what)
            case VmConfig():
                await case.hypervisor.create(what)
            case "info":
                await case.hypervisor.info()
            case _:
                await case.hypervisor.counters()
    return caught.value


async def test_ping_tells_version_and_pid(case: Case) -> None:
    identity = await case.hypervisor.ping()
    assert identity.version.split(".")[0] in ("53", "54")
    assert identity.pid > 1


# One row of the recorded table after the other: what each request does without a VM, created, running.


async def test_without_a_vm_everything_but_create_and_delete_is_refused(case: Case) -> None:
    assert (await refusal(case, "info")).causes == ("The VM info is not available", "VM is not created")
    assert (await refusal(case, VmAction.BOOT)).causes == ("The VM could not boot", "VM config is missing")
    assert (await refusal(case, VmAction.SHUTDOWN)).causes == ("The VM could not shutdown", "VM is not running")
    assert (await refusal(case, VmAction.POWER_BUTTON)).causes == ("Error triggering power button", "VM is not running")
    assert (await refusal(case, "counters")).causes == ("The VM info is not available", "VM is not running")
    await case.hypervisor.act(VmAction.DELETE)


async def test_status_codes_without_a_vm_are_the_recorded_ones(case: Case) -> None:
    assert (await refusal(case, "info")).status == 404
    assert (await refusal(case, VmAction.BOOT)).status == 404
    assert (await refusal(case, VmAction.SHUTDOWN)).status == 500
    assert (await refusal(case, "counters")).status == 500


async def test_refusals_are_told_apart_by_their_text(case: Case) -> None:
    assert (await refusal(case, "info")).refusal is Refusal.NO_VM
    assert (await refusal(case, VmAction.BOOT)).refusal is Refusal.NO_VM
    assert (await refusal(case, "counters")).refusal is Refusal.NOT_RUNNING


async def test_created_vm_shows_its_config_and_refuses_what_needs_a_running_one(case: Case) -> None:
    config = a_config(case.folder)
    await case.hypervisor.create(config)
    info = await case.hypervisor.info()
    assert (info.state, info.memory_bytes) == (VmState.CREATED, config.memory_bytes)
    assert info.config["serial"] == {"mode": "Socket", "socket": config.serial_socket}
    assert info.config["payload"] == {"kernel": config.kernel, "cmdline": config.cmdline}
    assert (await refusal(case, config)).causes == ("The VM could not be created", "VM is already created")
    assert (await refusal(case, VmAction.SHUTDOWN)).causes == ("The VM could not shutdown", "VM is not running")
    assert (await refusal(case, VmAction.POWER_BUTTON)).causes == ("Error triggering power button", "VM is not running")
    assert (await refusal(case, "counters")).refusal is Refusal.NOT_RUNNING
    await case.hypervisor.act(VmAction.DELETE)
    assert (await refusal(case, "info")).refusal is Refusal.NO_VM


async def test_running_vm_refuses_a_second_create_and_boot(case: Case) -> None:
    config = a_config(case.folder)
    await create_and_boot(case.hypervisor, config)
    assert (await case.hypervisor.info()).state is VmState.RUNNING
    second = await refusal(case, config)
    assert (second.status, second.causes) == (500, ("The VM could not be created", "VM is already created"))
    assert (await refusal(case, VmAction.BOOT)).causes == ("The VM could not boot", "VM is already created")
    assert second.refusal is Refusal.VM_EXISTS
    assert (await case.hypervisor.info()).state is VmState.RUNNING


async def test_creating_over_a_running_vm_leaves_it_running(case: Case) -> None:
    config = a_config(case.folder)
    await create_and_boot(case.hypervisor, config)
    with pytest.raises(HypervisorRefused, match="already created"):
        await create_and_boot(case.hypervisor, config)
    assert (await case.hypervisor.info()).state is VmState.RUNNING


async def test_counters_of_an_idle_disk_hold_no_sentinels(case: Case) -> None:
    disk = a_disk(case.folder)
    await create_and_boot(case.hypervisor, a_config(case.folder, disks=(Disk(str(disk), "vol-0", readonly=False),)))
    counters = await case.hypervisor.counters()
    (name,) = (name for name in counters if name.startswith("_disk"))
    assert counters[name]["read_bytes"] == 0
    assert "read_latency_min" not in counters[name]


async def test_boot_gives_every_device_an_id(case: Case) -> None:
    disk = a_disk(case.folder)
    config = a_config(case.folder, disks=(Disk(str(disk), "vol-0", readonly=True),))
    await case.hypervisor.create(config)
    before = (await case.hypervisor.info()).config["disks"]
    assert isinstance(before, list)
    assert "id" not in before[0]
    await case.hypervisor.act(VmAction.BOOT)
    after = (await case.hypervisor.info()).config["disks"]
    assert isinstance(after, list)
    assert after[0]["id"] == "_disk0"
    assert (after[0]["serial"], after[0]["readonly"], after[0]["image_type"]) == ("vol-0", True, "Raw")


async def test_shutdown_leads_back_to_created_and_the_vm_boots_again(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder))
    await case.hypervisor.act(VmAction.SHUTDOWN)
    assert (await case.hypervisor.info()).state is VmState.CREATED
    assert (await refusal(case, VmAction.SHUTDOWN)).refusal is Refusal.NOT_RUNNING
    await case.hypervisor.act(VmAction.BOOT)
    assert (await case.hypervisor.info()).state is VmState.RUNNING


async def test_delete_stops_a_running_vm_and_removes_the_serial_socket(case: Case) -> None:
    config = a_config(case.folder)
    await create_and_boot(case.hypervisor, config)
    assert Path(config.serial_socket).is_socket()
    await case.hypervisor.act(VmAction.DELETE)
    assert not Path(config.serial_socket).exists()
    await create_and_boot(case.hypervisor, config)
    assert (await case.hypervisor.info()).state is VmState.RUNNING


async def test_serial_socket_listens_from_create_on(case: Case) -> None:
    config = a_config(case.folder)
    await case.hypervisor.create(config)
    async with await trio.open_unix_socket(config.serial_socket) as serial:
        await case.hypervisor.act(VmAction.BOOT)
        with trio.fail_after(PATIENCE):
            assert await serial.receive_some(1)


async def test_vmm_shutdown_ends_it(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder))
    await case.hypervisor.act(VmAction.SHUTDOWN_VMM)
    with trio.fail_after(PATIENCE), pytest.raises(Unavailable):
        while True:
            await case.hypervisor.ping()
            await trio.sleep(0.005)


# Failed creates and boots: three kinds, each leaving something else behind.


async def test_create_checks_no_file(case: Case) -> None:
    missing = case.folder / "missing"
    await case.hypervisor.create(a_config(case.folder, kernel=missing))
    assert (await case.hypervisor.info()).state is VmState.CREATED


async def test_serial_socket_in_use_fails_create_and_keeps_its_config(case: Case) -> None:
    config = a_config(case.folder)
    Path(config.serial_socket).touch()
    failed = await refusal(case, config)
    assert failed.causes[0] == "The VM could not be created"
    assert failed.causes[-1] == "Address already in use (os error 98)"
    assert (await refusal(case, config)).refusal is Refusal.VM_EXISTS
    await case.hypervisor.act(VmAction.DELETE)
    Path(config.serial_socket).unlink(missing_ok=True)
    await create_and_boot(case.hypervisor, config)


async def test_missing_kernel_fails_late_and_the_vm_object_stays(case: Case) -> None:
    await case.hypervisor.create(a_config(case.folder, kernel=case.folder / "missing"))
    failed = await refusal(case, VmAction.BOOT)
    expected = ("The VM could not boot", "Cannot open kernel file", "No such file or directory (os error 2)")
    assert (failed.status, failed.causes) == (500, expected)
    assert (await case.hypervisor.info()).state is VmState.CREATED
    assert (await refusal(case, VmAction.BOOT)).causes == ("The VM could not boot", "VM is already created")
    await case.hypervisor.act(VmAction.POWER_BUTTON)
    await case.hypervisor.act(VmAction.SHUTDOWN)
    assert (await refusal(case, VmAction.BOOT)).causes == expected


async def test_kernel_that_is_text_fails_late(case: Case) -> None:
    kernel = a_kernel(case.folder, b"no kernel " * 1000)
    await case.hypervisor.create(a_config(case.folder, kernel=kernel))
    bad = "Kernel Loader: Invalid bzImage"
    assert (await refusal(case, VmAction.BOOT)).causes == (
        "The VM could not boot",
        "Cannot load the kernel into memory",
        f"Kernel Loader: failed to load bzImage kernel image: {bad}",
        bad,
    )


async def test_missing_initramfs_fails_early_and_a_second_boot_checks_again(case: Case) -> None:
    initrd = case.folder / "initrd"
    await case.hypervisor.create(a_config(case.folder, initrd=initrd))
    expected = ("The VM could not boot", "Cannot open initramfs file", "No such file or directory (os error 2)")
    assert (await refusal(case, VmAction.BOOT)).causes == expected
    assert (await refusal(case, VmAction.BOOT)).causes == expected
    initrd.write_bytes(bytes(512))
    await case.hypervisor.act(VmAction.BOOT)


async def test_missing_disk_drops_the_disks_and_a_second_boot_runs_without_them(case: Case) -> None:
    missing = case.folder / "missing"
    disks = (Disk(str(a_disk(case.folder)), "a", readonly=False), Disk(str(missing), "b", readonly=False))
    await case.hypervisor.create(a_config(case.folder, disks=disks))
    assert (await refusal(case, VmAction.BOOT)).causes == (
        "The VM could not boot",
        "Error from device manager",
        "Cannot open disk path",
        f"I/O error (path={missing} op=open)",
        "No such file or directory (os error 2)",
    )
    assert "disks" not in (await case.hypervisor.info()).config
    await case.hypervisor.act(VmAction.BOOT)


async def test_one_file_as_two_writable_disks_fails_on_the_lock(case: Case) -> None:
    disk = str(a_disk(case.folder))
    disks = (Disk(disk, "a", readonly=False), Disk(disk, "b", readonly=False))
    await case.hypervisor.create(a_config(case.folder, disks=disks))
    causes = (await refusal(case, VmAction.BOOT)).causes
    assert causes[1] == "Error locking disk images: Another instance likely holds a lock"
    assert causes[-1] == "The file is already locked"
    assert (await refusal(case, VmAction.BOOT)).refusal is Refusal.VM_EXISTS


async def test_a_boot_that_failed_leaves_no_vm_behind_once_it_is_deleted(case: Case) -> None:
    disk = Disk(str(case.folder / "missing"), "a", readonly=False)
    for config in (
        a_config(case.folder, disks=(disk,)),
        a_config(case.folder, kernel=case.folder / "none"),
        a_config(case.folder, initrd=case.folder / "none"),
    ):
        with pytest.raises(HypervisorRefused):
            await create_and_boot(case.hypervisor, config)
        await case.hypervisor.act(VmAction.DELETE)
        assert (await refusal(case, "info")).refusal is Refusal.NO_VM
        assert not Path(config.serial_socket).exists()
    await create_and_boot(case.hypervisor, a_config(case.folder))
    assert (await case.hypervisor.info()).state is VmState.RUNNING


# Devices that come and go.


def the_disk(case: Case, name: str, *, readonly: bool = False) -> Disk:
    return Disk(str(a_disk(case.folder, name)), name.partition(".")[0], readonly=readonly)


async def disks_of(case: Case) -> list[dict[str, object]]:
    found = (await case.hypervisor.info()).config.get("disks", [])
    assert isinstance(found, list)
    return found


async def test_a_disk_is_added_to_a_running_vm_with_an_id_and_an_address(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder, disks=(the_disk(case, "one.raw"),)))
    added = await case.hypervisor.add_disk(the_disk(case, "two.raw", readonly=True))
    assert added is not None
    assert added.device == "_disk1"
    assert re.fullmatch(r"0000:[0-9a-f]{2}:[0-9a-f]{2}\.0", added.bdf)
    one, two = await disks_of(case)
    assert (one["id"], two["id"], two["serial"], two["readonly"]) == ("_disk0", "_disk1", "two", True)
    assert {"_disk0", "_disk1"} <= (await case.hypervisor.counters()).keys()


async def test_a_disk_added_before_boot_is_in_the_configuration_only(case: Case) -> None:
    await case.hypervisor.create(a_config(case.folder))
    assert await case.hypervisor.add_disk(the_disk(case, "one.raw")) is None
    (disk,) = await disks_of(case)
    assert "id" not in disk
    await case.hypervisor.act(VmAction.BOOT)
    (disk,) = await disks_of(case)
    assert disk["id"] == "_disk0"


async def test_a_disk_that_is_missing_is_not_added_and_the_vm_runs_on(case: Case) -> None:
    missing = str(case.folder / "missing")
    await create_and_boot(case.hypervisor, a_config(case.folder, disks=(the_disk(case, "one.raw"),)))
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.add_disk(Disk(missing, "two", readonly=True))
    assert failed.value.causes[0] == "The disk could not be added to the VM"
    assert failed.value.causes[-2:] == (
        f"I/O error (path={missing} op=open)",
        "No such file or directory (os error 2)",
    )
    assert len(await disks_of(case)) == 1
    assert (await case.hypervisor.info()).state is VmState.RUNNING


async def test_without_a_vm_nothing_is_added_or_removed(case: Case) -> None:
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.add_disk(the_disk(case, "one.raw"))
    assert (failed.value.status, failed.value.causes) == (
        404,
        ("The disk could not be added to the VM", "VM is not created"),
    )
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.remove_device("_disk0")
    assert (failed.value.status, failed.value.causes) == (
        404,
        ("The device could not be removed from the VM", "VM is not created"),
    )


async def test_a_device_that_is_not_there_cannot_be_removed(case: Case) -> None:
    await case.hypervisor.create(a_config(case.folder))
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.remove_device("nope")
    assert failed.value.causes[-1] == 'No device with id "nope" to remove'
    await case.hypervisor.act(VmAction.BOOT)
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.remove_device("nope")
    assert failed.value.causes[-1] == "Failed to find device corresponding to the given identifier: nope"


async def test_a_removed_device_leaves_the_configuration_at_once(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder, disks=(the_disk(case, "one.raw"),)))
    await case.hypervisor.remove_device("_disk0")
    assert await disks_of(case) == []
    assert (await case.hypervisor.info()).state is VmState.RUNNING


# Paused, rebooted, resized, saved.


async def test_pause_and_resume_go_there_and_back_and_nowhere_else(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder))
    running = await refusal(case, VmAction.RESUME)
    assert running.causes[1:] == (
        "Cannot resume VM",
        "Failed to resume migratable component",
        "Invalid transition: InvalidStateTransition(Running, Running)",
    )
    await case.hypervisor.act(VmAction.PAUSE)
    assert (await case.hypervisor.info()).state is VmState.PAUSED
    paused = await refusal(case, VmAction.PAUSE)
    assert (paused.status, paused.causes) == (
        500,
        (
            "The VM could not be paused",
            "Cannot pause VM",
            "Failed to pause migratable component",
            "Invalid transition: InvalidStateTransition(Paused, Paused)",
        ),
    )
    await case.hypervisor.act(VmAction.RESUME)
    assert (await case.hypervisor.info()).state is VmState.RUNNING


async def test_a_vm_that_is_not_booted_is_neither_paused_nor_rebooted_nor_saved(case: Case) -> None:
    expected = {
        VmAction.PAUSE: (500, ("The VM could not be paused", "VM is not running")),
        VmAction.RESUME: (500, ("The VM could not resume", "VM is not running")),
        VmAction.NMI: (500, ("Error triggering NMI", "VM is not running")),
        VmAction.REBOOT: (404, ("The VM could not reboot", "VM is not created")),
    }
    for created in (False, True):
        if created:
            await case.hypervisor.create(a_config(case.folder))
        for action, told in expected.items():
            refused = await refusal(case, action)
            assert (refused.status, refused.causes) == told
        with pytest.raises(HypervisorRefused) as failed:
            await case.hypervisor.snapshot(str(case.folder))
        assert failed.value.causes == ("The VM could not be snapshotted", "VM is not running")


async def test_a_paused_vm_can_be_shut_down_rebooted_and_deleted(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder))
    await case.hypervisor.act(VmAction.PAUSE)
    await case.hypervisor.act(VmAction.REBOOT)
    assert (await case.hypervisor.info()).state is VmState.RUNNING
    await case.hypervisor.act(VmAction.REBOOT)
    await case.hypervisor.act(VmAction.PAUSE)
    assert (await refusal(case, VmAction.BOOT)).refusal is Refusal.VM_EXISTS
    await case.hypervisor.act(VmAction.SHUTDOWN)
    assert (await case.hypervisor.info()).state is VmState.CREATED
    await case.hypervisor.act(VmAction.BOOT)
    await case.hypervisor.act(VmAction.PAUSE)
    await case.hypervisor.act(VmAction.DELETE)
    assert (await refusal(case, "info")).refusal is Refusal.NO_VM


async def test_power_button_and_nmi_are_taken_while_paused(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder))
    await case.hypervisor.act(VmAction.PAUSE)
    await case.hypervisor.act(VmAction.POWER_BUTTON)
    await case.hypervisor.act(VmAction.NMI)
    assert (await case.hypervisor.info()).state is VmState.PAUSED


async def test_a_running_vm_has_no_more_cpus_and_memory_than_there_is_room_for(case: Case) -> None:
    config = a_config(case.folder)
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.resize(Size(cpus=2))
    assert (failed.value.status, failed.value.causes) == (404, ("The VM could not be resized", "VM is not created"))
    await create_and_boot(case.hypervisor, config)
    await case.hypervisor.resize(Size())
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.resize(Size(cpus=config.cpus + 1))
    assert failed.value.causes[-2:] == ("Error from CPU manager", "Requested vCPUs exceed maximum")
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.resize(Size(memory_bytes=2 * config.memory_bytes))
    assert failed.value.causes[-2:] == ("Memory manager error", "Not enough space in the hotplug RAM region")
    with pytest.raises(HypervisorRefused, match="virtio-balloon"):
        await case.hypervisor.resize(Size(balloon_bytes=4096))


async def test_resizing_before_boot_checks_nothing(case: Case) -> None:
    await case.hypervisor.create(a_config(case.folder))
    await case.hypervisor.resize(Size(cpus=9))
    cpus = (await case.hypervisor.info()).config["cpus"]
    assert isinstance(cpus, dict)
    assert cpus["boot_vcpus"] == 9


async def test_a_balloon_is_written_back_into_the_configuration(case: Case) -> None:
    config = replace(a_config(case.folder), balloon_bytes=0)
    await create_and_boot(case.hypervisor, config)
    await case.hypervisor.resize(Size(balloon_bytes=8 * 2**20))
    balloon = (await case.hypervisor.info()).config["balloon"]
    assert isinstance(balloon, dict)
    assert balloon["size"] == 8 * 2**20


async def test_only_a_paused_vm_is_saved(case: Case) -> None:
    await create_and_boot(case.hypervisor, a_config(case.folder))
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.snapshot(str(case.folder))
    assert (failed.value.status, failed.value.causes) == (
        500,
        (
            "The VM could not be snapshotted",
            "Cannot snapshot VM",
            "Failed to snapshot migratable component",
            "Trying to snapshot while VM is running",
        ),
    )


async def test_a_snapshot_is_restored_paused_and_with_its_devices(case: Case) -> None:
    saved = case.folder / "saved"
    saved.mkdir()
    config = a_config(case.folder, disks=(the_disk(case, "one.raw"),))
    await create_and_boot(case.hypervisor, config)
    added = await case.hypervisor.add_disk(the_disk(case, "two.raw"))
    before = (await case.hypervisor.info()).config
    await case.hypervisor.act(VmAction.PAUSE)
    await case.hypervisor.snapshot(str(saved))
    assert {path.name for path in saved.iterdir()} == {"config.json", "memory-ranges", "state.json"}
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.restore(str(saved), resume=False)
    assert failed.value.causes == ("The VM could not be restored", "VM is already created")
    await case.hypervisor.act(VmAction.RESUME)
    await case.hypervisor.act(VmAction.DELETE)
    await case.hypervisor.restore(str(saved), resume=False)
    info = await case.hypervisor.info()
    assert (info.state, info.config) == (VmState.PAUSED, before)
    assert added is not None
    assert added.device in (await case.hypervisor.counters())
    await case.hypervisor.act(VmAction.DELETE)
    await case.hypervisor.restore(str(saved), resume=True)
    assert (await case.hypervisor.info()).state is VmState.RUNNING


async def test_a_restore_that_fails_leaves_no_vm(case: Case) -> None:
    with pytest.raises(HypervisorRefused) as failed:
        await case.hypervisor.restore(str(case.folder / "none"), resume=True)
    assert failed.value.causes[0] == "The VM could not be restored"
    assert (await refusal(case, "info")).refusal is Refusal.NO_VM
    await create_and_boot(case.hypervisor, a_config(case.folder))
