"""A fenced singleton never runs twice, whatever dies, stops, sleeps, is cut off or comes late; and it runs again."""

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.plan import Limits
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from schema.blueprint import OnLoss, RolloutPolicy, Volume
from tests.liveness.simulation import Simulation

LIMITS = Limits()
WORKERS = ("w0", "w1", "w2")
DEEDS = (
    *("kill worker", "start worker", "stop worker", "continue worker", "suspend machine", "resume machine"),
    *("power cut", "cut off", "reconnect"),
    *("kill control plane", "start control plane", "stop control plane", "continue control plane"),
    *("slow messages", "lost messages", "quick messages"),
)
deeds = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.sampled_from(WORKERS), st.sampled_from((1, 3, 10, 25, 40, 48, 60, 75))),
    min_size=3,
    max_size=14,
)


def a_simulation(seed: int = 0) -> Simulation:
    """Three workers that run two fenced singletons, one with a kept volume, and two replicas."""
    simulation = Simulation(a_snapshot(**{name: some_facts() for name in WORKERS}), LIMITS, seed=seed)
    again = {"data": Volume(size_mb=8, mount="/data", on_loss=OnLoss.RECREATE)}
    specs = (
        a_spec("solo", singleton=True),
        a_spec("cache", volumes=again),
        a_spec("db", volumes={"data": Volume(size_mb=8, mount="/data")}),
        a_spec("web", replicas=2),
    )
    simulation.publish(a_generation(1, *specs, rollout=RolloutPolicy(max_parallel=10)))
    simulation.run(40)
    assert all(simulation.running_on(instance) for instance in ("solo-0", "cache-0", "db-0", "web-0", "web-1"))
    return simulation


def do(simulation: Simulation, deed: str, worker_id: str) -> None:
    machine, control_plane, network = simulation.machines[worker_id], simulation.control_plane, simulation.network
    what: dict[str, Callable[[], None]] = {
        "kill worker": machine.kill,
        "start worker": lambda: None if machine.alive else machine.start(),
        "stop worker": lambda: setattr(machine, "running", False),
        "continue worker": lambda: setattr(machine, "running", True),
        "suspend machine": lambda: setattr(machine, "suspended", True),
        "resume machine": lambda: machine.resume(simulation.now_ms),
        "power cut": lambda: machine.power_cut(simulation.now_ms),
        "cut off": lambda: network.cut.add(worker_id),
        "reconnect": lambda: network.cut.discard(worker_id),
        "kill control plane": control_plane.kill,
        "start control plane": lambda: None if control_plane.alive else control_plane.start(simulation.now_ms),
        "stop control plane": lambda: setattr(control_plane, "running", False),
        "continue control plane": lambda: setattr(control_plane, "running", True),
        "slow messages": lambda: network.worsen(latest_ms=30_000),
        "lost messages": lambda: network.worsen(loss=0.4),
        "quick messages": lambda: network.worsen(latest_ms=500, loss=0.0),
    }
    what[deed]()


def heal(simulation: Simulation) -> None:
    """Everything is there again."""
    for deed in ("continue control plane", "start control plane", "quick messages"):
        do(simulation, deed, "w0")
    for worker_id in WORKERS:
        for deed in ("resume machine", "continue worker", "start worker", "reconnect"):
            do(simulation, deed, worker_id)


@given(deeds, st.integers(0, 2**32))
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_no_schedule_lets_a_single_vm_run_twice_and_all_run_again_when_all_is_well(
    schedule: list[tuple[str, str, int]], seed: int
) -> None:
    simulation = a_simulation(seed)
    for deed, worker_id, seconds in schedule:
        do(simulation, deed, worker_id)
        simulation.run(seconds)
    heal(simulation)
    simulation.run(150)
    for instance in ("solo-0", "cache-0", "db-0", "web-0", "web-1"):
        assert len(simulation.running_on(instance)) == 1, f"{instance}: {simulation.control_plane.disk.placements}"


def where(simulation: Simulation, instance: str) -> str:
    (worker_id,) = simulation.running_on(instance)
    return worker_id


def test_a_stopped_workers_singleton_ends_with_its_lease_and_is_elsewhere_only_after_the_margin() -> None:
    simulation = a_simulation()
    home = where(simulation, "solo-0")
    do(simulation, "stop worker", home)
    stopped_ms = simulation.now_ms
    while simulation.running_on("solo-0") == [home]:
        simulation.run(1)
    assert 30_000 <= simulation.now_ms - stopped_ms <= 45_000
    while not simulation.running_on("solo-0"):
        simulation.run(1)
    assert where(simulation, "solo-0") != home
    assert simulation.now_ms - stopped_ms >= 40_000, "lease and margin, from a report that is 10 s old at most"
    do(simulation, "continue worker", home)
    moved = where(simulation, "solo-0")
    simulation.run(300)
    assert where(simulation, "solo-0") == moved, "what has moved stays"


def test_a_vm_with_a_kept_volume_runs_on_where_it_is() -> None:
    simulation = a_simulation()
    home = where(simulation, "db-0")
    do(simulation, "cut off", home)
    simulation.run(300)
    assert where(simulation, "db-0") == home
    do(simulation, "reconnect", home)
    simulation.run(60)
    assert where(simulation, "db-0") == home


def test_a_dead_control_plane_ends_the_fenced_and_leaves_the_rest_alone() -> None:
    simulation = a_simulation()
    do(simulation, "kill control plane", "w0")
    simulation.run(100)
    assert simulation.running_on("solo-0") == simulation.running_on("cache-0") == []
    assert all(simulation.running_on(instance) for instance in ("db-0", "web-0", "web-1"))
    before = dict(simulation.control_plane.disk.placements)
    do(simulation, "start control plane", "w0")
    simulation.run(40)
    assert all(simulation.running_on(instance) for instance in ("solo-0", "cache-0"))
    after = simulation.control_plane.disk.placements
    assert {name: one.worker_id for name, one in after.items()} == {name: one.worker_id for name, one in before.items()}


def test_a_power_cut_without_a_control_plane_starts_all_again_but_the_fenced() -> None:
    simulation = a_simulation()
    do(simulation, "kill control plane", "w0")
    for worker_id in WORKERS:
        do(simulation, "power cut", worker_id)
    simulation.run(30)
    assert all(simulation.running_on(instance) for instance in ("db-0", "web-0", "web-1"))
    assert simulation.running_on("solo-0") == simulation.running_on("cache-0") == []
