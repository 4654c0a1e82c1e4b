"""A small simulated fleet, from its start to its end; and what its parts say about time."""

import json
import os
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio

from cli.sim.desired import publish_of
from cli.sim.figures import Beats, Spread, percentile
from cli.sim.options import SimOptions
from cli.sim.pretend import PretendWorker
from cli.sim.run import simulate
from cli.up.processes import with_arguments
from schema.assignment import Assignment, Entry
from schema.errors import InvalidInput
from schema.signing import SecretKey
from schema.status import VmPhase
from schema.tests.builders import as_signed

CI = SecretKey.from_seed("ci", b"c" * 32)
CONTROL_PLANE = SecretKey.from_seed("control-plane", b"m" * 32)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("tls", [False, True])
def test_a_small_fleet_connects_obeys_and_reports_and_leaves_nothing(tls: bool) -> None:
    said: list[str] = []
    options = SimOptions(workers=6, vms=30, seconds=2, interval_ms=500, replicas=7, boot_ms=50, tls=tls)
    before = set(Path("/tmp").glob("procurator-sim-*"))
    began = time.monotonic()
    found = trio.run(partial(simulate, options, now=NOW, say=said.append))
    took_s = time.monotonic() - began
    assert (found.workers, found.vms, found.tls) == (6, 30, tls)
    assert 0 < found.next.published_s <= found.next.all_s <= found.next.succeeded_s
    assert 6 <= found.beats.count <= 6 * (took_s / 0.5 + 2)
    assert 0 < found.beats.median_ms <= found.beats.p99_ms <= found.beats.worst_ms
    assert 20 < found.memory_mb <= found.memory_most_mb
    assert "known to half" in found.table()
    assert set(Path(os.environ.get("TMPDIR", "/tmp")).glob("procurator-sim-*")) <= before
    assert not {one for one in with_arguments({"--log-level"}) if "procurator-sim-" in _command_of(one.pid)}


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""


def test_a_fleet_that_makes_no_sense_is_refused() -> None:
    for wrong in ({"workers": 0}, {"vms": 0}, {"workers": 1, "vms": 251}, {"workers": 70_000}):
        with pytest.raises(InvalidInput):
            SimOptions(**{"workers": 10, "vms": 10, **wrong})  # type: ignore[arg-type]


def test_the_fleet_has_all_instances_and_room_for_them() -> None:
    options = SimOptions(workers=7, vms=60, replicas=25)
    publish = publish_of(options, 3, key=CI)
    publish.check_content()
    assert sum(sealed.value.replicas for sealed in publish.vm_specs) == 60
    assert options.per_worker * 7 >= 60
    names = [name for process in range(2) for name in options.names(process)]
    assert sorted(names) == sorted(f"worker-{number}" for number in range(7))


def test_a_pretended_worker_boots_what_is_new_and_takes_up_live_what_is_not() -> None:
    options = SimOptions(workers=1, vms=2, replicas=1)
    worker = PretendWorker("worker-0", room=2, boot_ms=100)

    def told(number: int) -> None:
        publish = publish_of(options, number, key=CI)
        entries = tuple(
            Entry(
                instance=f"{sealed.value.name}-0",
                generation=number,
                spec=sealed.text,
                address="10.0.0.2/24",
                mac="02:00:00:00:00:01",
            )
            for sealed in publish.vm_specs
        )
        assignment = Assignment(worker_id="worker-0", epoch="e" * 32, revision=number, entries=entries)
        worker.obey(as_signed(assignment, CONTROL_PLANE), now_ms=1000 * number)

    told(1)
    assert worker.look(now_ms=1010) == 90
    assert {vm.phase for vm in worker.report(now_ms=1010).running_vms} == {VmPhase.BOOTING}
    assert worker.look(now_ms=1100) is None
    first = worker.report(now_ms=1100)
    assert {vm.phase for vm in first.running_vms} == {VmPhase.HEALTHY}
    told(2)
    second = worker.report(now_ms=2000)
    assert {vm.phase for vm in second.running_vms} == {VmPhase.HEALTHY}
    assert [vm.content_hash for vm in second.running_vms] == [vm.content_hash for vm in first.running_vms]
    assert not {vm.spec_hash for vm in second.running_vms} & {vm.spec_hash for vm in first.running_vms}
    assert second.revision == 2


def test_percentiles_and_spreads() -> None:
    assert percentile([], 0.99) == 0
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(100)), 0.99) == 99
    assert Beats.of([0.001, 0.003]) == Beats(count=2, median_ms=3.0, p99_ms=3.0, worst_ms=3.0)
    spread = Spread.of(began_s=10, published_s=11, told_s=[12, 13, 14], succeeded_s=20, beats=[0.1], processor_s=0.5)
    assert (spread.published_s, spread.half_s, spread.all_s, spread.succeeded_s) == (1, 3, 4, 10)
    assert json.dumps(spread.heartbeat_p99_ms) == "100.0"
