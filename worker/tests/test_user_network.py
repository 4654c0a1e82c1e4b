"""The network without root: what a card gets, who is refused, how its VM is asked; and the worker over a real guest."""

import json
import os
import shutil
import signal
import socket
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from schema.blueprint import CheckType, Egress, EgressMode, HealthCheck, PublishedPort
from schema.errors import InvalidInput, Unavailable
from schema.status import RunningVm, VmPhase, WorkerReport
from schema.tests.ports import a_quiet_port
from worker.guest.channel import GuestChannel
from worker.netplan import NetworkNames
from worker.tests.builders import a_content, a_desired, a_spec
from worker.tests.fake_control_plane import Wanted
from worker.tests.running import RunningWorker, a_worker, http_check
from worker.tests.test_guest import ROOT, a_real_spec, build
from worker.user_network import NOT_ENFORCED, UserNetwork, listening_ports
from worker.vm_state import Attachment, Desired
from worker.vmm.dev.answers import GuestFailed
from worker.vmm.dev.user_net import backend, file_of

ATTACHMENT = Attachment("10.77.0.2/24", "10.77.0.1", "02:00:00:00:00:02")
NAMES = NetworkNames("one")


def a_wish(
    instance: str,
    *,
    ports: tuple[tuple[int, int | None], ...] = (),
    checks: tuple[HealthCheck, ...] = (),
    egress: EgressMode = EgressMode.ISOLATED,
) -> Desired:
    offered = tuple(PublishedPort(name=f"p{port}", port=port, publish=publish) for port, publish in ports)
    domains = ("example.org",) if egress is EgressMode.ALLOW else ()
    spec = a_spec(
        instance.rpartition("-")[0], ports=offered, checks=checks, egress=Egress(mode=egress, domains=domains)
    )
    return a_desired(instance, content=a_content(spec=spec))


def a_network(folder: Path) -> UserNetwork:
    return UserNetwork(folder / "user-net", NAMES, lambda instance: GuestChannel(folder / instance / "vsock.sock"))


async def test_a_card_gets_its_address_and_a_loopback_port_for_every_port(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    published = a_quiet_port()
    entry = a_wish("web-0", ports=((80, published), (81, None)), checks=(HealthCheck(type=CheckType.TCP, port=82),))
    await network.update({"web-0": entry}, ())
    card = await network.attach("web-0", ATTACHMENT)
    told = json.loads((tmp_path / "user-net" / f"{card}.json").read_text())
    assert (told["address"], told["gateway"], told["restrict"], told["name"]) == (
        "10.77.0.2/24",
        "10.77.0.1",
        True,
        "web-0",
    )
    assert told["forwards"][0] == ["127.0.0.1", published, 80]
    assert [inside for _, _, inside in told["forwards"]] == [80, 81, 82]
    assert network.is_attached("web-0")
    await network.detach("web-0")
    assert not list((tmp_path / "user-net").iterdir())


async def test_egress_by_names_is_refused_and_open_is_not_restricted(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    await network.update(
        {"a-0": a_wish("a-0", egress=EgressMode.ALLOW), "o-0": a_wish("o-0", egress=EgressMode.OPEN)}, ()
    )
    with pytest.raises(InvalidInput, match="needs taps"):
        await network.attach("a-0", ATTACHMENT)
    with pytest.raises(Unavailable):
        await network.attach("gone-0", ATTACHMENT)
    card = await network.attach("o-0", ATTACHMENT)
    assert json.loads((tmp_path / "user-net" / f"{card}.json").read_text())["restrict"] is False


async def test_at_start_only_the_cards_of_living_vms_stay(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    await network.update({name: a_wish(name) for name in ("a-0", "b-0")}, ())
    kept = await network.attach("a-0", ATTACHMENT)
    await network.attach("b-0", ATTACHMENT)
    again = a_network(tmp_path)
    await again.adopt({"a-0": ATTACHMENT})
    assert [path.stem for path in (tmp_path / "user-net").iterdir()] == [kept]
    assert again.is_attached("a-0")
    assert not again.is_attached("b-0")


async def test_a_tcp_check_without_an_agent_does_not_pass_on_qemus_word(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    check = HealthCheck(type=CheckType.TCP, port=80)
    entry = a_wish("web-0", checks=(check,))
    await network.update({"web-0": entry}, ())
    card = await network.attach("web-0", ATTACHMENT)
    ((_, port, _),) = json.loads((tmp_path / "user-net" / f"{card}.json").read_text())["forwards"]
    with socket.create_server(("127.0.0.1", port)):
        (answer,) = await network.ask((check,), address="10.77.0.2", timeout_ms=5000)
    assert (answer.passed, answer.detail) == (False, "tcp 80: the guest does not listen")


async def test_an_http_check_goes_by_the_loopback_port_and_tells_the_guests(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    check = HealthCheck(type=CheckType.HTTP, port=80, path="/")
    await network.update({"web-0": a_wish("web-0", checks=(check,))}, ())
    card = await network.attach("web-0", ATTACHMENT)
    ((_, port, _),) = json.loads((tmp_path / "user-net" / f"{card}.json").read_text())["forwards"]
    async with trio.open_nursery() as nursery:

        async def answer(stream: trio.SocketStream) -> None:
            await stream.receive_some(4096)
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")

        await nursery.start(partial(trio.serve_tcp, answer, port, host="127.0.0.1"))
        (found,) = await network.ask((check,), address="10.77.0.2", timeout_ms=30_000)
        nursery.cancel_scope.cancel()
    assert (found.passed, found.detail) == (True, "http 80/: answered 200")


def test_who_listens_for_others_is_read_from_the_kernels_tables() -> None:
    tables = """  sl  local_address rem_address   st tx_queue
   0: 00000000:0050 00000000:0000 0A 00000000:00000000
   1: 0100007F:0051 00000000:0000 0A 00000000:00000000
   2: 0200004D:1538 0100004D:0000 01 00000000:00000000
  sl  local_address                         remote_address
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A
"""
    assert listening_ports(tables) == {80, 8080}


async def test_status_says_that_egress_is_not_enforced_and_where_ports_lead_from(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    published = a_quiet_port()
    await network.update({"d-0": a_wish("d-0", ports=((80, published),))}, ())
    await network.attach("d-0", ATTACHMENT)

    def vm(name: str, phase: VmPhase, reason: str = "") -> RunningVm:
        return RunningVm(instance=name, generation=1, content_hash="", spec_hash="", phase=phase, reason=reason)

    report = WorkerReport(
        worker_id="w",
        running_vms=(
            vm("a-0", VmPhase.HEALTHY),
            vm("b-0", VmPhase.HEALTHY, "because"),
            vm("c-0", VmPhase.PULLING),
            vm("d-0", VmPhase.HEALTHY),
        ),
    )
    assert [one.reason for one in network.noted(report).running_vms] == [
        NOT_ENFORCED,
        "because",
        "",
        f"{NOT_ENFORCED}; port 80 is 127.0.0.1:{published}",
    ]


# What QEMU is told


def test_qemus_user_network_gives_the_guest_its_own_address() -> None:
    told = {
        "address": "10.77.0.2/24",
        "gateway": "10.77.0.1",
        "restrict": True,
        "name": "web-0",
        "forwards": [["127.0.0.1", 40001, 80]],
    }
    assert backend(json.dumps(told), 3) == (
        "user,id=net3,ipv6=off,restrict=on,net=10.77.0.0/24,host=10.77.0.1,dhcpstart=10.77.0.2,dns=10.77.0.254,"
        "hostname=web-0,hostfwd=tcp:127.0.0.1:40001-10.77.0.2:80"
    )
    assert ",restrict=off," in backend(json.dumps(told | {"restrict": False}), 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a,guestfwd=x"},
        {"gateway": "10.78.0.1"},
        {"forwards": [["127.0.0.1", "1,x", 80]]},
        {"forwards": [["127.0.0.1", 0, 80]]},
        {"address": "nowhere"},
    ],
)
def test_a_file_that_would_smuggle_options_is_refused(wrong: dict[str, object]) -> None:
    told = {"address": "10.77.0.2/24", "gateway": "10.77.0.1", "restrict": True, "name": "web-0", "forwards": []}
    with pytest.raises(GuestFailed):
        backend(json.dumps(told | wrong), 3)


def test_a_cards_name_leads_nowhere_else() -> None:
    assert file_of("/f", "pabc") == "/f/pabc.json"
    for name in ("../x", "", "a/b", "x" * 16):
        with pytest.raises(GuestFailed):
            file_of("/f", name)


# The worker over a real guest


@pytest.mark.guest
async def test_a_real_guest_serves_by_loopback_ports_without_taps_and_outlives_the_agent(tmp_path: Path) -> None:
    command = shutil.which("procurator-vmm", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}") or "procurator-vmm"
    hypervisor = {"command": [command], "user_mode_network": True}
    settings = {"stop_timeout_ms": 90_000, "hypervisor": hypervisor}
    published = a_quiet_port()
    async with a_worker(tmp_path, net="10.199.97", settings=settings.items()) as worker:
        cp = worker.control_plane
        built = await build(worker, "web")
        checks = (*http_check(), HealthCheck(type=CheckType.TCP, port=80))
        spec = a_real_spec(
            "web", built["web"], checks=checks, ports=(PublishedPort(name="http", port=80, publish=published),)
        )
        cp.assign(Wanted("web-0", spec, number=2))
        vms = await cp.until(lambda vms: {vm.phase for vm in vms.values()} == {VmPhase.HEALTHY}, seconds=120)
        assert vms["web-0"].reason == f"{NOT_ENFORCED}; port 80 is 127.0.0.1:{published}"
        assert not list(Path("/sys/class/net").glob(f"{names_of(worker).tap_prefix}*"))
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            assert (await http.get(f"http://127.0.0.1:{published}/")).status_code == 200
            await worker.end(signal.SIGKILL)
            cp.reports.clear()
            await worker.start()
            after = await cp.until(lambda vms: {vm.phase for vm in vms.values()} == {VmPhase.HEALTHY}, seconds=90)
            assert after["web-0"].pid == vms["web-0"].pid
            assert (await http.get(f"http://127.0.0.1:{published}/")).status_code == 200
        assert cp.worker is not None
        vm = await cp.worker.get_vm("web-0")
        address = await vm.exec("sh", ("-c", "hostname; ip -4 addr show eth0 | grep -o '10.199.97.2/24'"))
        assert address.stdout == b"web-0\n10.199.97.2/24\n"
        asked = f"http://10.199.97.1:{worker_port(worker)}/ping"
        refused = await vm.exec("wget", ("-q", "-T", "2", "-O", "-", asked), deadline_ms=60_000)
        assert refused.exit_code != 0, "an isolated guest does not reach the machine"
        cp.assign()
        await cp.until(lambda vms: not vms, seconds=120)


def names_of(worker: RunningWorker) -> NetworkNames:
    return NetworkNames(f"w-0\n{worker.state.resolve()}")


def worker_port(worker: RunningWorker) -> int:
    return int(worker.http().rpartition(":")[2])
