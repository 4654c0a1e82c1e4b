"""The doctor on this machine: what is there is found, what is not is named with what to do, and nothing stays."""

import json
import subprocess
import sys
from pathlib import Path

import trio

from schema.settings import load
from schema.status import VmPhase
from worker import doctor
from worker.netplan import NetworkNames
from worker.settings import Settings
from worker.tests.fake_control_plane import Wanted
from worker.tests.net_guests import IP, NFT, tool
from worker.tests.running import ROOT, RunningWorker, a_worker
from worker.user_network import NOT_ENFORCED


def examined(worker: RunningWorker) -> tuple[int, dict[str, dict[str, object]]]:
    argv = (sys.executable, "-m", "worker.app", "--config", str(worker.config), "--doctor")
    program = f"import sys; sys.argv = {['procurator-worker', *argv[3:]]!r}; from worker.app import main; main()"
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return done.returncode, {line["probe"]: line for line in lines}


async def test_everything_is_tried_beside_a_running_worker_and_nothing_stays(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        worker.control_plane.assign(Wanted("web-0", worker.a_published_spec()))
        await worker.control_plane.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY)
        _, found = await trio.to_thread.run_sync(examined, worker)
        for probe in ("disk", "control plane", "closures", "network"):
            assert found[probe]["passed"], found[probe]
        assert "signed by a pinned key" in str(found["closures"]["detail"])
        assert not found["hypervisor"]["passed"] or "first words" in str(found["hypervisor"]["detail"])
        assert not list((worker.state / "vms").glob("d-*"))


async def test_what_the_network_probe_makes_is_gone_after_it(tmp_path: Path) -> None:
    names = NetworkNames(f"doctor's test\n{tmp_path}")
    async with a_worker(tmp_path) as worker:
        settings = load(Settings, service="worker", path=worker.config, environ={}).settings
        assert "dnsmasq" in await doctor.network(settings, names=names)
    links, tables = tool(IP, "-o", "link"), tool(NFT, "list", "tables")
    assert names.tap_prefix not in links
    assert names.table not in tables


async def test_a_worker_with_the_user_mode_network_needs_none_of_the_machines(tmp_path: Path) -> None:
    hypervisor = {"command": ["procurator-vmm"], "user_mode_network": True}
    async with a_worker(tmp_path, settings={"hypervisor": hypervisor}.items()) as worker:
        _, found = await trio.to_thread.run_sync(examined, worker)
        assert found["network"]["passed"]
        assert found["network"]["detail"] == NOT_ENFORCED


async def test_what_fails_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        await worker.end()
        worker.settings["hypervisor"] = {"command": ["/nonexistent/hypervisor"]}
        worker.settings["collection"] = {"min_free_mb": 2**40}
        worker.write_config()
        code, found = await trio.to_thread.run_sync(examined, worker)
        assert code != 0
        assert not found["disk"]["passed"] and "make room" in str(found["disk"]["advice"])
        assert not found["hypervisor"]["passed"]
        assert "/nonexistent/hypervisor" in str(found["hypervisor"]["detail"])
        assert "procurator-vmm" in str(found["hypervisor"]["advice"])
