"""Names, pairs and rules follow from the assignment alone."""

from schema.assignment import Peer
from schema.blueprint import PublishedPort
from worker.netplan import NetworkNames, NetworkPlan, Pair, Published, Route, dhcp_hosts, network_plan, subnets
from worker.rules import permission, removal, ruleset
from worker.tests.builders import a_content, a_desired, a_spec, an_attachment

NAMES = NetworkNames("worker-0\n/var/lib/procurator")


def a_plan() -> NetworkPlan:
    web = a_desired("web-0", content=a_content(spec=a_spec("web", connect=("db:5432",))), number=2)
    db = a_desired("db-0", content=a_content(spec=a_spec("db")), number=3)
    peer = Peer(instance="db-1", address="10.77.1.4", worker_id="w-1", worker_address="", subnet="10.77.1.0/24")
    desired = {"web-0": web, "db-0": db}
    return network_plan(NAMES, desired, {name: entry.attachment for name, entry in desired.items()}, [peer])


def test_names_fit_the_kernel_and_differ_by_worker_and_instance() -> None:
    other = NetworkNames("worker-1\n/var/lib/procurator")
    names = {owner.tap(f"{vm}-{number}") for owner in (NAMES, other) for vm in ("web", "db") for number in range(500)}
    assert len(names) == 2000
    assert {len(name) for name in names} == {15}
    assert all(name.startswith((NAMES.tap_prefix, other.tap_prefix)) for name in names)
    assert NAMES.tap_prefix != other.tap_prefix and NAMES.table != other.table


def test_a_vm_reaches_all_instances_that_its_connect_names_and_nothing_else() -> None:
    assert a_plan().pairs == (Pair("10.77.0.2", "10.77.0.3", 5432), Pair("10.77.0.2", "10.77.1.4", 5432))


def test_each_instance_has_a_lease_by_its_mac_with_its_name() -> None:
    assert dhcp_hosts(a_plan()).splitlines() == [
        "02:00:00:00:00:03,10.77.0.3,db-0,infinite",
        "02:00:00:00:00:02,10.77.0.2,web-0,infinite",
    ]
    assert [str(subnet) for subnet in subnets(a_plan())] == ["10.77.0.0/24"]


def test_the_ruleset_fills_the_workers_own_tables_anew_and_leaves_what_was_permitted() -> None:
    text = ruleset(a_plan())
    assert "delete" not in text
    assert "flush set inet" in text and f"flush set inet {NAMES.table} permitted" not in text
    assert all(f" {NAMES.table}" in line for line in text.splitlines() if "table" in line.split()[:2])
    assert "10.77.0.2 . 10.77.0.3 . 5432" in text
    assert f'"{NAMES.tap("web-0")}" . 02:00:00:00:00:02 . 10.77.0.2' in text
    assert ruleset(a_plan(), anew=True) == removal(NAMES) + text


def test_who_reaches_us_from_elsewhere_does_so_by_the_ports_that_its_own_connect_names() -> None:
    peer = Peer(
        instance="api-0",
        address="10.77.1.4",
        worker_id="w-1",
        worker_address="192.0.2.7",
        subnet="10.77.1.0/24",
        ports=("db:5432",),
    )
    plan = network_plan(NAMES, {"db-0": a_desired("db-0", number=3), "web-0": a_desired("web-0")}, {}, [peer])
    assert plan.incoming == (Pair("10.77.1.4", "10.77.0.3", 5432),)
    assert plan.routes == (Route("10.77.1.0/24", "192.0.2.7"),)
    assert plan.elsewhere == ("10.77.1.4",)


def test_a_published_port_leads_to_the_first_instance_that_wants_it() -> None:
    spec = a_spec(
        "web", ports=(PublishedPort(name="http", port=80, publish=8080), PublishedPort(name="admin", port=81))
    )
    both = {
        f"web-{number}": a_desired(f"web-{number}", content=a_content(spec=spec), number=2 + number)
        for number in (0, 1)
    }
    plan = network_plan(NAMES, both, {})
    assert plan.published == (Published(8080, "10.77.0.2", 80),)
    assert plan.is_routed_outward


def test_a_permission_is_written_anew_so_that_its_time_begins_again() -> None:
    lines = permission(NAMES, [("ptap", "192.0.2.1", 60)]).splitlines()
    assert [line.split()[0] for line in lines] == ["add", "delete", "add"]
    assert lines[-1].endswith('{ "ptap" . 192.0.2.1 timeout 60s }')


def test_a_vm_that_is_being_stopped_keeps_its_tap_but_not_its_permissions() -> None:
    plan = network_plan(NAMES, {}, {"web-0": an_attachment()})
    assert [tap.instance for tap in plan.taps] == ["web-0"]
    assert plan.pairs == ()
