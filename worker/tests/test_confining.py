"""Hypervisors in users and cgroups of their own: real processes, as root, on this machine's cgroups."""

import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from schema.errors import Unavailable
from schema.status import RunningVm, VmPhase
from schema.tests.processes import is_running, until_ended
from worker.tests.fake_control_plane import Wanted
from worker.tests.running import a_worker, others_reach_our_programs
from worker.vmm.cgroup import Cgroups, Hierarchy, hierarchies, limits
from worker.vmm.confinement import Confinement
from worker.vmm.peer import check_listener
from worker.vmm.processes import end, start_shim, wait_ended
from worker.vmm.runtime_dir import RuntimeDir
from worker.vmm.users import FIRST_ID, USERS, Users, choose

MIB = 1024 * 1024
needs_reach = pytest.mark.skipif(
    not others_reach_our_programs(), reason="this checkout or its Python is where no other user can go"
)
VERSION_1 = """30 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 20 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
VERSION_2 = "32 20 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path that every user may pass through, as /var/lib is."""
    with tempfile.TemporaryDirectory(prefix="pcw-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def groups() -> Iterator[Cgroups]:
    made = Cgroups(f"test-{os.getpid()}")
    yield made
    for instance in made.known():
        made.remove(instance)
    made.remove_home()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def all_healthy(vms: dict[str, RunningVm]) -> bool:
    return bool(vms) and {vm.phase for vm in vms.values()} == {VmPhase.HEALTHY}


@needs_reach
async def test_each_hypervisor_has_a_user_limits_and_sockets_of_its_own(home: Path) -> None:
    async with a_worker(home) as worker:
        volumes = {"data": {"size_mb": 16, "mount": "/data"}}
        spec, db = worker.a_published_spec(), worker.a_published_spec("db", volumes=volumes)
        worker.control_plane.assign(Wanted("web-0", spec), Wanted("db-0", db, number=3))
        vms = await worker.control_plane.until(all_healthy)
        told = {name: status_of(vm.pid) for name, vm in vms.items()}
        uids = {name: int(status["Uid"].split()[0]) for name, status in told.items()}
        assert len(set(uids.values())) == 2
        assert all(FIRST_ID <= uid < FIRST_ID + USERS for uid in uids.values()), uids
        assert {status["NoNewPrivs"] for status in told.values()} == {"1"}
        for name, vm in vms.items():
            directory = RuntimeDir(worker.state / "vms" / name)
            assert "/procurator/" in Path(f"/proc/{vm.pid}/cgroup").read_text()
            assert (directory.own.stat().st_uid, stat.S_IMODE(directory.own.stat().st_mode)) == (uids[name], 0o700)
            for trusted in (directory.path, directory.api_socket, directory.control_socket, directory.serial_log):
                assert trusted.stat().st_uid == 0 and not stat.S_IMODE(trusted.stat().st_mode) & 0o067, trusted
        volume = worker.state / "volumes" / "db-0" / "data.raw"
        assert (volume.stat().st_uid, volume.parent.stat().st_uid) == (uids["db-0"], 0)
        worker.control_plane.assign()
        await worker.control_plane.until(lambda left: not left)
        assert not any(is_running(vm.pid) for vm in vms.values())


async def test_a_home_that_other_users_cannot_pass_is_said_once_and_the_vms_run(home: Path) -> None:
    home.chmod(0o700)
    async with a_worker(home) as worker:
        spec = worker.a_published_spec(replicas=2)
        worker.control_plane.assign(Wanted("web-0", spec), Wanted("web-1", spec, number=3))
        vms = await worker.control_plane.until(lambda vms: len(vms) == 2 and all_healthy(vms))
        assert {status_of(vm.pid)["Uid"].split()[0] for vm in vms.values()} == {"0"}
        assert worker.log.count("hypervisors run as the worker's own user: they could not pass through") == 1


async def test_a_hypervisor_over_its_memory_is_ended_and_its_shim_tells(home: Path, groups: Cgroups) -> None:
    hungry = "import time; held = [b'x' * (1 << 20) for _ in range(512)]; time.sleep(600)"
    procs = groups.make("web-0", memory_bytes=64 * MIB, processes=64)
    assert procs, "this machine has neither version of cgroups"
    directory = RuntimeDir(home / "vm")
    live = await start_shim(
        directory, command=(sys.executable, "-c", hungry), log_bytes=4096, confinement=Confinement(cgroups=procs)
    )
    with trio.fail_after(60):
        assert (await wait_ended(directory, live)).signal == 9
    assert groups.ran_out_of_memory("web-0")


async def test_a_fork_bomb_is_bounded_and_nothing_of_it_is_left(home: Path, groups: Cgroups) -> None:
    # Each in a session of its own: the hypervisor's process group does not reach them, its cgroup does.
    bomb = """
import os, time
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    except OSError:
        time.sleep(600)
"""
    procs = groups.make("web-0", memory_bytes=512 * MIB, processes=20)
    directory = RuntimeDir(home / "vm")
    live = await start_shim(
        directory, command=(sys.executable, "-c", bomb), log_bytes=4096, confinement=Confinement(cgroups=procs)
    )
    inside = Path(procs[-1])
    with trio.fail_after(60):
        while len(inside.read_text().split()) < 20:  # noqa: ASYNC110 - other processes make it true
            await trio.sleep(0.02)
    members = [int(pid) for pid in inside.read_text().split()]
    await end(directory, live, grace_seconds=0)
    groups.remove("web-0")
    await until_ended(*members)  # a process leaves its cgroup a moment before it is a zombie
    assert "web-0" not in groups.known()


@needs_reach
async def test_a_hypervisor_cannot_lead_root_to_somebody_elses_socket(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as secret:
        secret.bind(str(home / "secret.sock"))
        secret.listen()
        hostile = f"import os, sys, time; os.symlink({str(home / 'secret.sock')!r}, sys.argv[1]); time.sleep(600)"
        directory = RuntimeDir(home / "vm")
        live = await start_shim(
            directory,
            command=(sys.executable, "-c", hostile, str(directory.serial_socket)),
            log_bytes=4096,
            confinement=Confinement(uid=FIRST_ID, gid=FIRST_ID),
        )
        try:
            with trio.fail_after(60):
                while not directory.serial_socket.is_symlink():  # noqa: ASYNC110 - as above
                    await trio.sleep(0.02)
            reached = await trio.open_unix_socket(str(directory.serial_socket))
            with pytest.raises(Unavailable, match="not its hypervisor's"):
                check_listener(reached.socket, directory.serial_socket)
            await reached.aclose()
            secret.settimeout(30)
            shims, _ = secret.accept()
            assert shims.recv(1) == b"", "the shim hung up without a word"
            shims.close()
        finally:
            await end(directory, live, grace_seconds=0)


async def test_links_that_a_hypervisor_left_are_removed_and_not_followed(home: Path) -> None:
    precious = home / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    directory = RuntimeDir(home / "vm")
    directory.own.mkdir(parents=True)
    (directory.own / "deep").mkdir()
    (directory.own / "deep" / "link").symlink_to(precious)
    (directory.own / "tty.sock").symlink_to(precious / "file")
    live = await start_shim(directory, command=("/bin/sh", "-c", "sleep 600"), log_bytes=4096)
    await end(directory, live, grace_seconds=0)
    assert (precious / "file").read_text() == "kept"
    assert list(directory.own.iterdir()) == []


def test_the_hierarchy_of_each_controller_is_found_in_either_version() -> None:
    first = hierarchies(VERSION_1, of_version_2={"/sys/fs/cgroup/unified": ""})
    assert {(str(one.root), one.version, *one.controllers) for one in first} == {
        ("/sys/fs/cgroup/memory", 1, "memory"),
        ("/sys/fs/cgroup/pids", 1, "pids"),
    }
    second = hierarchies(VERSION_2, of_version_2={"/sys/fs/cgroup": "cpuset cpu io memory pids"})
    assert second == (Hierarchy(Path("/sys/fs/cgroup"), 2, frozenset({"memory", "pids"})),)
    assert limits(second[0], memory_bytes=MIB, processes=9) == {
        "memory.max": "1048576",
        "memory.oom.group": "1",
        "pids.max": "9",
    }
    assert hierarchies("", of_version_2={}) == ()
    assert Cgroups("none", mounts=Path("/nonexistent")).make("web-0", memory_bytes=MIB, processes=9) == ()


def test_users_differ_stay_and_are_never_given_twice(tmp_path: Path) -> None:
    def users() -> Users:
        return Users("w", record=tmp_path / "users.json", open_to=(tmp_path,), wanted=True, command=("true",))

    first = users().of("web-0")
    assert users().of("web-0") == first != users().of("web-1")
    collided = choose("w", "web-0", taken={first})
    assert collided != first and FIRST_ID <= collided < FIRST_ID + USERS
    (tmp_path / "users.json").write_text("not ours")
    assert users().of("web-0") == first, "it follows from the names where the record is lost"
