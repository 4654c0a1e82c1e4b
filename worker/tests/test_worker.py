"""The whole agent with scripted guests: what it does about life, death, failure and its own end."""

import os
import signal
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from schema.errors import Conflict, InvalidInput, NotFound, Unavailable
from schema.status import Directive, RunningVm, View, VmPhase
from schema.tests.processes import is_running
from worker.tests.fake_control_plane import Wanted
from worker.tests.net_guests import IP, tool
from worker.tests.running import RunningWorker, a_worker, addresses_on_this_host, http_check
from worker.tests.vmm.test_shim import shims_in, until
from worker.vmm.runtime_dir import RuntimeDir


async def test_an_assigned_vm_is_pulled_booted_and_reported_healthy(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec()))
        vm = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert set(vm.phase_ms) >= {"pulling", "preparing", "booting", "running"}
        assert is_running(vm.pid) and vm.generation == 1
        report = cp.reports[-1]
        assert (report.worker_id, report.revision, report.observed_generation) == ("w-0", 1, 1)
        async with httpx.AsyncClient(timeout=30) as http:
            assert (await http.get(f"http://{worker.http()}/ping")).json()["healthy"] == 1
            assert (
                'procurator_worker_vms{phase="healthy"} 1' in (await http.get(f"http://{worker.http()}/metrics")).text
            )


async def test_a_vm_that_is_not_assigned_any_more_is_stopped_and_leaves_its_volume(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        volumes = {"data": {"size_mb": 16, "mount": "/data"}}
        cp.assign(Wanted("db-0", worker.a_published_spec("db", volumes=volumes)))
        vm = (await cp.until(lambda vms: vms["db-0"].phase is VmPhase.HEALTHY))["db-0"]
        assert vm.volumes == ("data",)
        cp.assign()
        await cp.until(lambda vms: not vms)
        assert not is_running(vm.pid)
        assert cp.reports[-1].kept_volumes == ("db-0/data",)
        assert cp.worker is not None
        with pytest.raises(InvalidInput):
            await cp.worker.delete_volume("..", "data")
        with pytest.raises(NotFound):
            await cp.worker.delete_volume("db-0", "other")
        cp.assign(Wanted("db-0", worker.a_published_spec("db", volumes=volumes)))
        await cp.until(lambda vms: vms["db-0"].phase is VmPhase.HEALTHY)
        with pytest.raises(Conflict, match="is assigned here"):
            await cp.worker.delete_volume("db-0", "data")
        cp.assign()
        await cp.until(lambda vms: not vms)
        await cp.worker.delete_volume("db-0", "data")
        assert not (worker.state / "volumes" / "db-0").exists()
        assert (await cp.worker.read()).kept_volumes == ()


async def test_the_logs_of_a_vm_that_left_are_kept_and_its_directory_goes(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec(script="fake.says=hello")))
        await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY)
        assert cp.worker is not None
        sink = Lines()
        async with trio.open_nursery() as nursery:
            vm = await cp.worker.get_vm("web-0")
            nursery.start_soon(partial(vm.get_logs, follow=True, tail_lines=0, sink=sink))
            cp.assign()
        assert sink.data.startswith(b"hello"), "the follower's stream ended with the VM"
        assert not (worker.state / "vms" / "web-0").exists()
        gone = await cp.worker.get_vm("web-0")
        for hypervisor in (False, True):
            kept = Lines()
            await gone.get_logs(follow=False, tail_lines=0, sink=kept, hypervisor=hypervisor)
            assert kept.data.startswith(b"hello") is not hypervisor
        with pytest.raises(NotFound):
            await cp.worker.get_vm("../../etc")
        with pytest.raises(NotFound):
            await gone.exec("true", ())


async def test_a_drained_worker_takes_nothing_new_and_at_the_deadline_keeps_nothing(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        spec = worker.a_published_spec(replicas=2)
        cp.assign(Wanted("web-0", spec))
        before = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        cp.directives = (Directive.DRAIN,)
        for _ in range(2):  # the report after the one that was answered so: by then it knows
            cp.assign(Wanted("web-0", spec))
            await cp.until(lambda _: cp.reports[-1].revision == cp.revision)
        cp.assign(Wanted("web-0", spec), Wanted("web-1", spec, number=3))
        vms = await cp.until(lambda vms: "drained" in vms["web-1"].reason)
        assert (vms["web-0"].pid, vms["web-0"].phase, vms["web-1"].phase) == (
            before.pid,
            VmPhase.HEALTHY,
            VmPhase.WAITING,
        )
        cp.directives = ()
        cp.assign(Wanted("web-0", spec), Wanted("web-1", spec, number=3))
        await cp.until(lambda vms: vms["web-1"].phase is VmPhase.HEALTHY)
        assert cp.worker is not None
        await cp.worker.drain(deadline_ms=300, reason="a new \x1b[31mdisk")
        vms = await cp.until(lambda vms: {vm.phase for vm in vms.values()} == {VmPhase.WAITING})
        assert not is_running(before.pid)
        assert vms["web-0"].reason == "this worker is drained: a new disk"


async def test_of_a_boot_whose_configuration_fails_no_hypervisor_is_left(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        toplevel = worker.a_published_spec().toplevel
        cp.assign(Wanted("web-0", worker.a_published_spec(kernel=f"{toplevel}/none")))
        await cp.until(lambda vms: "none does not exist" in vms["web-0"].reason)
        cp.assign()
        await cp.until(lambda vms: not vms)
        directory = RuntimeDir(worker.state / "vms" / "web-0")
        await until(lambda: not shims_in(directory))
        assert not directory.path.exists()


def forget(worker: RunningWorker, kept: str) -> None:
    files = list(worker.state.glob(f"{kept}.[01]"))
    assert files
    for file in files:
        file.unlink()


async def test_what_lives_in_a_directory_that_nothing_is_known_of_is_ended(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        spec = worker.a_published_spec(replicas=2)
        cp.assign(Wanted("web-0", spec), Wanted("web-1", spec, number=3))
        before = await cp.until(lambda vms: len(vms) == 2 and {vm.phase for vm in vms.values()} == {VmPhase.HEALTHY})
        await worker.end(signal.SIGKILL)
        (worker.state / "booted" / "web-0.json").unlink()
        forget(worker, "assignment")
        dead = worker.state / "vms" / "old-7"
        dead.mkdir()
        (dead / "serial.log").write_text("long ago")
        cp.assign(Wanted("web-1", spec, number=3))
        cp.reports.clear()
        await worker.start()
        after = await cp.until(lambda vms: set(vms) == {"web-1"} and vms["web-1"].phase is VmPhase.HEALTHY)
        assert after["web-1"].pid == before["web-1"].pid
        assert not is_running(before["web-0"].pid)
        assert not dead.exists()
        assert (worker.state / "logs" / "old-7" / "serial.log").read_text() == "long ago"


def all_three_healthy(vms: dict[str, RunningVm]) -> bool:
    return [vm.phase for vm in vms.values()] == [VmPhase.HEALTHY] * 3


async def test_a_killed_agent_adopts_its_vms_and_restarts_none(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        spec = worker.a_published_spec(replicas=3)
        cp.assign(*(Wanted(f"web-{number}", spec, number=number + 2) for number in range(3)))
        before = await cp.until(all_three_healthy)
        for number in (signal.SIGKILL, signal.SIGTERM):
            await worker.end(number)
            cp.reports.clear()
            await worker.start()
            after = await cp.until(all_three_healthy)
            assert {vm.instance: vm.pid for vm in after.values()} == {vm.instance: vm.pid for vm in before.values()}
            assert all(vm.restarts == 0 for vm in after.values())
            assert all(vm.running_ms > 0 for vm in after.values())


async def test_an_agent_killed_in_the_middle_of_a_boot_boots_again_and_gives_nothing_up(
    tmp_path: Path,
) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        spec = worker.a_published_spec(start_deadline_ms=2000)
        cp.assign(Wanted("web-0", spec))
        vm = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        await worker.end(signal.SIGKILL)
        # As it is on disk between the start of the hypervisor and the accepted boot:
        (worker.state / "vms/web-0/booted.json").unlink()
        forget(worker, "memories")
        cp.reports.clear()
        await worker.start()
        again = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert again.pid != vm.pid and not is_running(vm.pid)
        assert again.reverted is None


async def test_without_its_control_plane_a_restarted_agent_obeys_the_kept_assignment(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec()))
        vm = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        await worker.end(signal.SIGKILL)
        os.kill(vm.pid, signal.SIGKILL)
        cp.signed = cp.seen = None  # it knows nothing now
        cp.reports.clear()
        await worker.start()
        again = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert again.pid != vm.pid


async def test_a_vm_whose_hypervisor_dies_is_seen_at_once_and_started_again(tmp_path: Path) -> None:
    never = 3_600_000  # no report but for news
    async with a_worker(tmp_path, settings={"report_interval_ms": never}.items()) as worker:
        cp = worker.control_plane
        cp.interval_ms = never
        cp.assign(Wanted("web-0", worker.a_published_spec()))
        vm = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        os.kill(vm.pid, signal.SIGKILL)
        died = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.WAITING))["web-0"]
        assert died.reason == "the hypervisor ended: killed by signal 9"
        again = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert (again.restarts, again.pid == vm.pid) == (1, False)


async def test_a_guest_that_powers_itself_off_is_seen_with_the_reason(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec(script="fake.powers-off-after=0.5")))
        vm = (await cp.until(lambda vms: vms["web-0"].restarts == 1))["web-0"]
        assert vm.reason == "the guest powered off (exited with 0)"


async def test_a_guest_that_ignores_the_power_button_is_stopped_by_the_deadline(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec(script="fake.power-button=ignored")))
        vm = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        started = trio.current_time()
        cp.assign()
        await cp.until(lambda vms: not vms)
        assert 1.5 <= trio.current_time() - started < 9.5, "after 10 s everyone else would be stopped"
        assert not is_running(vm.pid)


async def test_what_does_not_get_healthy_by_its_deadline_gives_way_to_the_fallback(tmp_path: Path) -> None:
    async with (
        a_worker(tmp_path, net="10.199.91") as worker,
        addresses_on_this_host("10.199.91.2"),
    ):
        cp = worker.control_plane
        checked = partial(worker.a_published_spec, nic=True, checks=http_check())
        good = checked(text="good", script="fake.listens=10.199.91.2:80", start_deadline_ms=60_000)
        bad = checked(text="bad", start_deadline_ms=4000)
        cp.assign(Wanted("web-0", good))
        vm = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert vm.host_view is View.OK
        cp.assign(Wanted("web-0", bad, generation=2, fallback=(1, good)))
        vm = (await cp.until(lambda vms: bool(vms["web-0"].reverted) and vms["web-0"].phase is VmPhase.HEALTHY))[
            "web-0"
        ]
        assert vm.reverted and vm.reverted.content_hash == bad.content_hash
        assert vm.reverted.reason == "not healthy within 4000 ms: http 80/: connection refused"
        assert (vm.content_hash, vm.generation) == (good.content_hash, 1)
        await worker.end(signal.SIGKILL)
        cp.reports.clear()
        await worker.start()
        after = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert (after.pid, after.reverted) == (vm.pid, vm.reverted), "it is remembered across a restart"


async def test_a_closure_that_is_not_in_the_cache_leaves_what_runs_untouched(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        good = worker.a_published_spec(text="good")
        missing = good.model_copy(update={"toplevel": good.toplevel.replace("good", "gone"), "cmdline": "gone"})
        cp.assign(Wanted("web-0", good))
        before = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        cp.assign(Wanted("web-0", missing, generation=2, fallback=(1, good)))
        vm = (await cp.until(lambda vms: "file://" in vms["web-0"].reason))["web-0"]
        assert (vm.pid, vm.phase, vm.generation) == (before.pid, VmPhase.HEALTHY, 1)


async def test_an_assignment_that_is_not_signed_by_the_pinned_key_changes_nothing(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec()))
        before = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        cp.assign()
        assert cp.signed and cp.seen
        cp.offer(type(cp.signed)(cp.signed.data, cp.signed.signature[:-4] + "AAA="), cp.seen)
        await until(lambda: "an assignment is refused" in worker.log)
        assert cp.vms()["web-0"].pid == before.pid and is_running(before.pid)


async def test_a_restart_and_the_log_are_asked_for_over_the_wire(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec(script="fake.says=hello")))
        before = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert cp.worker
        vm = await cp.worker.get_vm("web-0")
        assert (await vm.read()).pid == before.pid
        assert (await vm.get_connection_info()).worker_id == "w-0"
        await until(lambda: b"hello" in (worker.state / "vms/web-0/serial.log").read_bytes())
        sink = Lines()
        await vm.get_logs(follow=False, tail_lines=1, sink=sink)
        assert sink.data.strip() == b"hello"
        with pytest.raises(Unavailable, match="no guest channel"):
            await vm.exec("ls", ())
        assert await cp.worker.update_config("limits.parallel_pulls", "3") == "4"
        assert (await cp.worker.get_config())["limits.parallel_pulls"] == "3"
        transport = httpx.AsyncHTTPTransport(uds=str(worker.state / "worker.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://worker", timeout=30) as local:
            told = (await local.get("/v1/status")).json()
            assert [one["instance"] for one in told["runningVms"]] == ["web-0"]
            assert 'procurator_vm_running_seconds{instance="web-0"}' in (await local.get("/metrics")).text
        with pytest.raises(NotFound):
            await (await cp.worker.get_vm("nobody-0")).read()
        follower = Lines()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(vm.get_logs, follow=True, tail_lines=1, sink=follower))
            await vm.restart()
            while follower.data.count(b"hello") < 2:  # noqa: ASYNC110 - the log has no event
                await trio.sleep(0.05)
            cp.assign()  # the log ends with the VM, and so does the call
        restarted = [report.running_vms[0] for report in cp.reports if report.running_vms]
        assert max(one.restarts for one in restarted) == 1 and len({one.pid for one in restarted} - {0}) == 2


class Lines:
    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data


async def test_stop_vms_ends_all_and_leaves_nothing_in_the_kernel(tmp_path: Path) -> None:
    async with a_worker(tmp_path, net="10.199.92") as worker:
        cp = worker.control_plane
        cp.assign(Wanted("web-0", worker.a_published_spec(nic=True)))
        vm = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"]
        assert "10.199.92.2" in tool(IP, "route")
        await worker.end(signal.SIGKILL)
        await worker.stop_vms()
        await worker.stop_vms()
        assert not is_running(vm.pid)
        assert "10.199.92" not in tool(IP, "route") + tool(IP, "addr")
