"""Taps, rules and leases on the real kernel, with network namespaces in the place of guests. Needs root."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from schema.assignment import Peer
from schema.blueprint import CheckType, HealthCheck
from worker import firewall
from worker.dhcp import DhcpServer
from worker.netplan import NetworkNames, NetworkPlan, Tap, network_plan
from worker.network import Network
from worker.probe import ask
from worker.resolver.upstream import Upstream
from worker.taps import ensure_taps, remove_taps, taps_of
from worker.tests.builders import a_content, a_spec
from worker.tests.net_guests import BUSYBOX, IP, NFT, PATIENCE, Guest, guests_on, tool
from worker.vm_state import Attachment, Desired


@dataclass(frozen=True)
class Net:
    """A worker's network: `web-0` may reach `db-0` on 5432 and nothing else may reach anything."""

    plan: NetworkPlan
    web: Guest
    db: Guest
    dhcp: DhcpServer


def a_plan(folder: Path, net: int = 77, peers: tuple[Peer, ...] = ()) -> NetworkPlan:
    def entry(instance: str, number: int, connect: tuple[str, ...] = ()) -> Desired:
        attachment = Attachment(f"10.199.{net}.{number}/24", f"10.199.{net}.1", f"02:00:00:00:{net:02x}:{number:02x}")
        content = a_content(spec=a_spec(instance.rpartition("-")[0], connect=connect))
        return Desired(instance, content, attachment)

    desired = {"web-0": entry("web-0", 2, ("db:5432",)), "db-0": entry("db-0", 3)}
    names = NetworkNames(f"worker-0\n{folder}/{net}")
    return network_plan(names, desired, {name: one.attachment for name, one in desired.items()}, peers)


@contextmanager
def guests(plan: NetworkPlan, folder: Path) -> Iterator[list[Guest]]:
    with guests_on(sorted(plan.taps, key=lambda tap: tap.instance, reverse=True), folder) as made:
        yield made


@asynccontextmanager
async def a_network(plan: NetworkPlan, folder: Path) -> AsyncIterator[Net]:
    run_directory = Path("/run/procurator-tests")
    run_directory.mkdir(exist_ok=True)
    dhcp = DhcpServer(plan.names, below=run_directory)
    with guests(plan, folder) as (web, db):
        try:
            await ensure_taps(plan.taps)
            await firewall.apply(plan)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dhcp.run)
                dhcp.update(plan)
                yield Net(plan, web, db, dhcp)
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await firewall.remove(plan.names)
                await dhcp.end()
                with suppress(OSError):  # the other worker's is still in it
                    run_directory.rmdir()


async def elsewhere(function: partial[str] | partial[bool]) -> str | bool:
    """A blocking command beside the loop, in which dnsmasq's supervisor runs."""
    return await trio.to_thread.run_sync(function)


async def lease(guest: Guest) -> str:
    return str(await elsewhere(partial(guest.lease)))


async def until_leased(guest: Guest, words: str) -> None:
    """Wait until dnsmasq, which is told by a signal or started anew, answers that."""
    with trio.fail_after(PATIENCE):
        while words not in str(await elsewhere(partial(guest.lease, tries=2))):
            pass


async def reaches(guest: Guest, address: str, port: int) -> bool:
    return bool(await elsewhere(partial(guest.reaches, address, port)))


async def is_kept_from(guest: Guest, address: str, port: int) -> bool:
    return bool(await elsewhere(partial(guest.is_kept_from, address, port)))


async def test_a_guest_gets_its_address_its_name_and_the_gateway_as_its_name_server(tmp_path: Path) -> None:
    async with a_network(a_plan(tmp_path), tmp_path) as net:
        assert await lease(net.web) == "10.199.77.2/24 10.199.77.1 web-0 10.199.77.1"
        assert await lease(net.db) == "10.199.77.3/24 10.199.77.1 db-0 10.199.77.1"


_DECLINE = """
import socket, struct, sys
mac, address, gateway = sys.argv[1:]
ip = socket.inet_aton
body = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, 7, 0, 0, 0, 0, 0, 0) + bytes.fromhex(mac.replace(":", "")) + bytes(202)
body += bytes.fromhex("63825363350104") + b"6\\4" + ip(gateway) + b"2\\4" + ip(address) + b"\\xff"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    asking.bind(("0.0.0.0", 68))
    asking.sendto(body, ("255.255.255.255", 67))
"""
"""Says that an address is in use already, in the name of whichever MAC: dnsmasq keeps it back for ten minutes."""


async def test_a_guest_cannot_have_another_ones_address_kept_back(tmp_path: Path) -> None:
    async with a_network(a_plan(tmp_path), tmp_path) as net:
        await lease(net.web)
        decline = (sys.executable, "-c", _DECLINE, net.db.tap.attachment.mac, "10.199.77.3", "10.199.77.1")
        await elsewhere(partial(net.web.run, *decline))
        assert await lease(net.db) == "10.199.77.3/24 10.199.77.1 db-0 10.199.77.1"


async def test_a_guest_reaches_what_its_connect_names_and_nothing_else(tmp_path: Path) -> None:
    async with a_network(a_plan(tmp_path), tmp_path) as net:
        await lease(net.web), await lease(net.db)
        with net.db.serving(5432, 80), net.web.serving(80):
            check = HealthCheck(type=CheckType.TCP, port=80)
            (probed,) = await ask((check,), address="10.199.77.2", timeout_ms=10_000)
            assert probed.passed, probed
            assert await reaches(net.web, "10.199.77.3", 5432)
            assert await is_kept_from(net.web, "10.199.77.3", 80)
            assert await is_kept_from(net.db, "10.199.77.2", 80)


async def test_a_guest_reaches_no_address_of_the_host(tmp_path: Path) -> None:
    async with a_network(a_plan(tmp_path), tmp_path) as net:
        await lease(net.web)
        (listener,) = await trio.open_tcp_listeners(0, host="0.0.0.0")  # noqa: S104 - what a guest must not reach
        port = listener.socket.getsockname()[1]
        addresses = [line.split()[3].partition("/")[0] for line in tool(IP, "-4", "-o", "addr").splitlines()]
        async with listener:
            for address in {"10.199.77.1", *addresses} - {"127.0.0.1"}:
                assert await is_kept_from(net.web, address, port), address


async def test_rules_are_put_back_when_the_kernel_tells_that_they_went(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    network = Network(plan.names, DhcpServer(plan.names, below=tmp_path), Upstream(()), guard_seconds=3600)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(network.run)
            await network.update({}, ())
            await wait_all_tasks_blocked(0.05)
            for _ in range(2):
                tool(NFT, "delete", "table", "inet", plan.names.table)
                with trio.fail_after(PATIENCE):
                    while not await firewall.is_in_force(plan.names):  # noqa: ASYNC110 - the network's task does it
                        await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await network.remove_all()


async def test_rules_that_somebody_flushed_are_put_back(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    network = Network(plan.names, DhcpServer(plan.names, below=tmp_path), Upstream(()))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(network.run)
            await network.update({}, ())
            assert await firewall.is_in_force(plan.names)
            tool(NFT, "delete", "table", "inet", plan.names.table)
            with trio.fail_after(PATIENCE):
                while not await firewall.is_in_force(plan.names):  # noqa: ASYNC110 - the kernel does not tell us
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        tool(NFT, "delete", "chain", "inet", plan.names.table, "to_host")
        assert not await firewall.is_in_force(plan.names)
    finally:
        with trio.CancelScope(shield=True):
            await network.remove_all()
    assert not await firewall.is_in_force(plan.names)


async def test_what_a_guest_sends_with_another_address_or_mac_goes_nowhere(tmp_path: Path) -> None:
    async with a_network(a_plan(tmp_path), tmp_path) as net:
        await lease(net.web), await lease(net.db)
        with net.db.serving(5432):
            assert await reaches(net.web, "10.199.77.3", 5432)
            net.web.run(IP, "addr", "add", "10.199.77.9/24", "dev", "eth0")
            net.web.run(IP, "route", "replace", "10.199.77.0/24", "dev", "eth0", "src", "10.199.77.9")
            assert await is_kept_from(net.web, "10.199.77.3", 5432)
            net.web.run(IP, "route", "replace", "10.199.77.0/24", "dev", "eth0", "src", "10.199.77.2")
            assert await reaches(net.web, "10.199.77.3", 5432)
            net.web.run(IP, "link", "set", "eth0", "address", "02:00:00:00:4d:77")
            assert await is_kept_from(net.web, "10.199.77.3", 5432)


async def test_dhcp_goes_on_when_dnsmasq_is_killed_and_when_leases_are_added(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    async with a_network(plan, tmp_path) as net:
        assert (await lease(net.web)).startswith("10.199.77.2/24")
        pid = int((net.dhcp.directory / "dnsmasq.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        assert (await lease(net.db)).startswith("10.199.77.3/24")
        only_web = network_plan(plan.names, {}, {"web-0": plan.taps[1].attachment})
        net.dhcp.update(only_web)
        await until_leased(net.db, "no lease")
        net.dhcp.update(plan)
        assert (await lease(net.db)).startswith("10.199.77.3/24")
        assert (await lease(net.web)).startswith("10.199.77.2/24")


async def test_an_address_that_has_changed_hands_is_given_to_the_one_who_has_it_now(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    async with a_network(plan, tmp_path) as net:
        assert (await lease(net.web)).startswith("10.199.77.2/24")
        assert (await lease(net.db)).startswith("10.199.77.3/24")
        db, web = (tap.attachment for tap in plan.taps)
        gone = network_plan(plan.names, {}, {"web-0": web})
        net.dhcp.update(gone)
        inherited = network_plan(plan.names, {}, {"web-0": web, "db-0": replace(db, address="10.199.77.4/24")})
        net.dhcp.update(inherited)
        await until_leased(net.db, "10.199.77.4/24")
        swapped = {"db-0": replace(db, address=web.address), "web-0": replace(web, address=db.address)}
        net.dhcp.update(network_plan(plan.names, {}, swapped))
        await until_leased(net.db, "10.199.77.2/24")
        await until_leased(net.web, "10.199.77.3/24")


async def test_a_dnsmasq_that_a_killed_agent_left_is_found_and_ended(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    async with a_network(plan, tmp_path) as net:
        await lease(net.web)
        pid = int((net.dhcp.directory / "dnsmasq.pid").read_text())
        (net.dhcp.directory / "dnsmasq.pid").unlink()
        again = DhcpServer(plan.names, below=net.dhcp.directory.parent)
        await again.end()
        command = Path(f"/proc/{pid}/cmdline")
        assert not command.exists() or not command.read_bytes()


async def test_two_workers_on_one_machine_do_not_collide(tmp_path: Path) -> None:
    for worker in ("a", "b"):
        (tmp_path / worker).mkdir()
    there = Peer(
        instance="web-1",
        address="10.199.77.2/24",
        worker_id="w-0",
        worker_address="",
        subnet="10.199.77.0/24",
        ports=("db:5432",),
    )
    async with (
        a_network(a_plan(tmp_path, 77), tmp_path / "a") as one,
        a_network(a_plan(tmp_path, 78, (there,)), tmp_path / "b") as two,
    ):
        assert (await lease(one.web)).startswith("10.199.77.2/24")
        assert (await lease(two.web)).startswith("10.199.78.2/24")
        assert (await lease(two.db)).startswith("10.199.78.3/24")
        with two.db.serving(5432):
            assert await reaches(two.web, "10.199.78.3", 5432)
            assert await is_kept_from(one.web, "10.199.78.3", 5432), "its own worker does not let it"
        await firewall.remove(one.plan.names)
        with two.db.serving(5432):
            assert await reaches(two.web, "10.199.78.3", 5432)


async def test_a_tap_is_made_once_changed_in_place_and_removed() -> None:
    names = NetworkNames("worker-0\n/test-tap")
    tap = Tap(names.tap("web-0"), "web-0", Attachment("10.199.79.2/24", "10.199.79.1", "02:00:00:00:00:02"))
    moved = Tap(tap.name, "web-0", Attachment("10.199.80.9/24", "10.199.80.1", "02:00:00:00:00:02"))
    try:
        await ensure_taps([tap])
        await ensure_taps([tap])
        assert await taps_of(names.tap_prefix) == (tap.name,)
        await ensure_taps([moved])
        routes, addresses = tool(IP, "route"), tool(IP, "-o", "addr", "show", tap.name)
        assert f"10.199.80.9 dev {tap.name}" in routes and "10.199.79.2" not in routes
        assert "10.199.80.1/32" in addresses and "10.199.79.1" not in addresses
    finally:
        await remove_taps([tap.name])
    await remove_taps([tap.name])
    assert await taps_of(names.tap_prefix) == ()


@pytest.mark.parametrize("program", [BUSYBOX, IP])
def test_what_these_tests_need_is_there(program: str) -> None:
    assert os.geteuid() == 0, "run these tests as root: they make taps, nftables tables and namespaces"
    assert Path(program).exists()
