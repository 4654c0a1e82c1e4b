"""Switches in place on a real guest: ten updates in a row, one that is refused, and a guest that resets itself."""

import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trio

from nix import commands
from nix.environment import NixEnvironment
from nix.example import Clone, prepare_clone
from nix.parts import make_parts
from schema.blueprint import CheckType, HealthCheck, UpdatePolicy, UpdateStrategy
from schema.errors import DeadlineExceeded, Unavailable
from schema.status import RunningVm, VmPhase
from schema.vmspec import VmSpec
from worker.tests.fake_control_plane import Wanted
from worker.tests.real_nix import KEY
from worker.tests.running import RunningWorker, a_worker
from worker.tests.test_guest import CACHE, ROOT, a_real_spec

ATTRIBUTE = "nixosConfigurations.db.config.system.build.toplevel"
COUNT = "http://10.199.94.3:5432/cgi-bin/count"
VOLUMES = {"data": {"size_mb": 64, "mount": "/var/lib/db"}}
SWITCH = UpdatePolicy(strategy=UpdateStrategy.SWITCH)


@dataclass
class Changing:
    """The example's database, each version of which answers with its own word before the count that its volume has."""

    worker: RunningWorker
    clone: Clone
    nix: NixEnvironment

    async def version(self, word: str, *, breaks: bool = False) -> VmSpec:
        """Built, signed and in the cache. `breaks`: nothing of it will listen."""
        script = self.clone.path / "db/count.sh"
        original = (ROOT / "example/db/count.sh").read_text()
        changed = original.replace('%s\\n\' "$count"', f'{word} %s\\n\' "$count"')
        assert changed != original
        script.chmod(0o755)
        script.write_text(changed)
        cluster = self.clone.path / "cluster.nix"
        text = (ROOT / "example/cluster.nix").read_text()
        cluster.write_text(text.replace("httpd -f -p 5432", "sleep 1000000 #") if breaks else text)
        await self.clone.commit(word)
        built = await commands.build(self.nix, await self.clone.flake(), ATTRIBUTE, jail=None, deadline=120)
        await commands.copy_to_cache(
            self.nix,
            [built.out],
            cache=self.worker.publisher.url,
            secret_key=self.worker.home / "ci.secret",
            deadline=60,
        )
        check = HealthCheck(type=CheckType.TCP, port=5432)
        return a_real_spec("db", built.out, checks=(check,), volumes=VOLUMES, update=SWITCH, failures=2)


@asynccontextmanager
async def a_changing_database(home: Path) -> AsyncIterator[Changing]:
    program = shutil.which("procurator-vmm", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}") or "procurator-vmm"
    async with a_worker(home, command=(program,), net="10.199.94") as worker:
        nix = NixEnvironment(worker.home / "ci").write()
        clone = await prepare_clone(ROOT / "example", worker.home / "clone", await make_parts(CACHE), nix=nix)
        secret = worker.home / "ci.secret"
        secret.write_text(KEY.reveal())
        secret.chmod(0o600)
        yield Changing(worker, clone, nix)


async def healthy_with(changing: Changing, spec: VmSpec) -> RunningVm:
    def there(vms: dict[str, RunningVm]) -> bool:
        vm = vms.get("db-0")
        return vm is not None and vm.phase is VmPhase.HEALTHY and vm.content_hash == spec.content_hash

    return (await changing.worker.control_plane.until(there, seconds=120))["db-0"]


async def answer() -> list[str]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        return (await http.get(COUNT)).text.split()


@pytest.mark.guest
async def test_ten_updates_in_a_row_keep_the_volume_and_the_process_as_long_as_layers_last(tmp_path: Path) -> None:
    async with a_changing_database(tmp_path) as changing:
        pids: list[int] = []
        counts: list[int] = []
        for number in range(11):
            spec = await changing.version(f"v{number}")
            changing.worker.control_plane.assign(Wanted("db-0", spec, generation=number + 1, number=3))
            pids.append((await healthy_with(changing, spec)).pid)
            word, count = await answer()
            assert word == f"v{number}"
            counts.append(int(count))
        assert counts == list(range(1, 12)), "the volume stayed"
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [6, 5], "six closures, then a VM of its own"
        assert "cannot be switched to in place: 6 closures are mounted already" in changing.worker.log


@pytest.mark.guest
async def test_what_fails_goes_back_in_place_and_a_guest_that_resets_itself_is_started_anew(tmp_path: Path) -> None:
    async with a_changing_database(tmp_path) as changing:
        worker, cp = changing.worker, changing.worker.control_plane
        good = await changing.version("good")
        cp.assign(Wanted("db-0", good, generation=1, number=3))
        first = await healthy_with(changing, good)
        bad = (await changing.version("bad", breaks=True)).model_copy(
            update={"health": good.health.model_copy(update={"start_deadline_ms": 8000})}
        )
        cp.assign(Wanted("db-0", bad, generation=2, number=3, fallback=(1, good)))
        reverted = await cp.until(lambda vms: vms["db-0"].reverted is not None, seconds=120)
        assert reverted["db-0"].reverted is not None
        back = await healthy_with(changing, good)
        assert back.pid == first.pid and (await answer())[0] == "good"
        better = await changing.version("better")
        cp.assign(Wanted("db-0", better, generation=3, number=3))
        assert (await healthy_with(changing, better)).pid == first.pid
        record = worker.state / "vms/db-0/booted.json"
        assert json.loads(record.read_text())["active"] == better.content_hash
        await worker.end(signal.SIGKILL)
        cp.reports.clear()
        await worker.start()
        adopted = await healthy_with(changing, better)
        assert adopted.pid == first.pid, "a switched VM is adopted like any other"
        assert cp.worker is not None
        vm = await cp.worker.get_vm("db-0")
        with trio.move_on_after(5), suppress(Unavailable, DeadlineExceeded):
            await vm.exec("sh", ("-c", "echo b > /proc/sysrq-trigger"), deadline_ms=2000)
        await cp.until(lambda vms: vms["db-0"].pid not in (0, first.pid), seconds=120)
        await healthy_with(changing, better)
        assert (await answer())[0] == "better"
