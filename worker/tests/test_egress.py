"""What leaves the cluster, by which names, and what does not; on the real kernel, with root in namespaces as guests."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from schema.blueprint import Egress, EgressMode, PublishedPort
from worker import firewall
from worker.dhcp import DhcpServer
from worker.netplan import NetworkNames, Tap
from worker.network import Network
from worker.resolver.upstream import Upstream
from worker.tests.builders import a_content, a_spec
from worker.tests.internet import LISTED, MACHINE, OTHER, ROUTER, UPLINK, Internet, an_internet
from worker.tests.net_guests import BUSYBOX, IP, NFT, PATIENCE, Guest, guests_on, tool
from worker.vm_state import Attachment, Desired

GATEWAY = "10.199.90.1"
PUBLISHED = 18080
_ASK = """
import sys, dns.message, dns.query, dns.rcode, dns.exception
query = dns.message.make_query(sys.argv[1], sys.argv[3])
try:
    answer = (dns.query.tcp if sys.argv[5:] else dns.query.udp)(query, sys.argv[2], timeout=float(sys.argv[4]))
except (dns.exception.DNSException, OSError) as error:
    print("nothing", type(error).__name__)
else:
    print(dns.rcode.to_text(answer.rcode()), *sorted(r.to_text() for s in answer.answer for r in s))
"""


def egress(mode: EgressMode, *domains: str) -> Egress:
    return Egress(mode=mode, domains=domains)


@dataclass
class World:
    """`web-0` on .2 (its egress as asked, may reach db on 5432), `db-0` on .3 (isolated, publishes its 80)."""

    network: Network
    names: NetworkNames
    internet: Internet
    guests: dict[str, Guest]
    desired: dict[str, Desired] = field(default_factory=dict)

    async def asks(
        self, guest: str, name: str, server: str = GATEWAY, kind: str = "A", how: str = "", *, seconds: float = 20
    ) -> str:
        words = (sys.executable, "-c", _ASK, name, server, kind, str(seconds), *([how] if how else []))
        said = await trio.to_thread.run_sync(partial(self.guests[guest].run, *words))
        return said.strip()

    async def reaches(self, guest: str, address: str, port: int = 80) -> bool:
        return await trio.to_thread.run_sync(self.guests[guest].reaches, address, port)

    async def is_kept_from(self, guest: str, address: str, port: int = 80) -> bool:
        return await trio.to_thread.run_sync(self.guests[guest].is_kept_from, address, port)

    async def allow(self, wanted: Egress) -> None:
        self.desired = entries(wanted)
        await self.network.update(self.desired, ())


def entries(wanted: Egress) -> dict[str, Desired]:
    web = a_content(spec=a_spec("web", connect=("db:5432",), egress=wanted))
    db = a_content(spec=a_spec("db", ports=(PublishedPort(name="http", port=80, publish=PUBLISHED),)))
    return {
        instance: Desired(instance, content, attachment(number), cluster="example")
        for number, (instance, content) in enumerate((("web-0", web), ("db-0", db)), start=2)
    }


def attachment(number: int) -> Attachment:
    return Attachment(f"10.199.90.{number}/24", GATEWAY, f"02:00:00:00:5a:{number:02x}")


@asynccontextmanager
async def a_world(folder: Path, wanted: Egress) -> AsyncIterator[World]:
    names = NetworkNames(f"worker-0\n{folder}")
    network = Network(names, DhcpServer(names, below=folder), Upstream([ROUTER], seconds=20))
    taps = [Tap(names.tap(instance), instance, attachment(number)) for number, instance in ((2, "web-0"), (3, "db-0"))]
    folder.chmod(0o755)
    with an_internet(folder) as internet, guests_on(taps, folder) as made:
        guests = {guest.tap.instance: guest for guest in made}
        for guest in made:
            guest.run(IP, "addr", "add", guest.tap.attachment.address, "dev", "eth0")
            guest.run(IP, "route", "add", "default", "via", GATEWAY)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(network.run)
                world = World(network, names, internet, guests)
                await world.allow(wanted)
                for tap in taps:
                    await network.attach(tap.instance, tap.attachment)
                yield world
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await network.remove_all()


async def test_a_guest_reaches_the_addresses_that_the_resolver_gave_it_for_listed_names_and_no_others(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path, egress(EgressMode.ALLOW, "x.org", "*.x.org")) as world:
        assert await world.is_kept_from("web-0", LISTED), "by its address, before its name was asked for"
        assert await world.asks("web-0", "x.org") == f"NOERROR {LISTED}"
        assert await world.reaches("web-0", LISTED)
        assert await world.is_kept_from("web-0", OTHER)
        assert await world.asks("web-0", "other.org") == "REFUSED"
        assert await world.asks("web-0", "x.org", kind="AAAA") == "NOERROR"
        assert await world.asks("web-0", "x.org", how="tcp") == f"NOERROR {LISTED}"
        assert await world.is_kept_from("db-0", LISTED), "what one guest may do is no other's"
        assert await world.asks("db-0", "x.org") == "REFUSED"


async def test_an_alias_of_a_listed_name_leads_where_it_leads(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.ALLOW, "alias.x.org")) as world:
        assert await world.asks("web-0", "alias.x.org") == f"NOERROR {OTHER}"
        assert await world.reaches("web-0", OTHER)


async def test_no_name_leads_to_this_machine_or_into_the_cluster(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.ALLOW, "*.x.org")) as world:
        for name in ("home.x.org", "metadata.x.org", "inside.x.org"):
            assert await world.asks("web-0", name) == "REFUSED", name
        assert await world.is_kept_from("web-0", "10.199.90.3", 80)


async def test_another_name_server_and_tunnels_through_ours_lead_nowhere(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.ALLOW, "x.org")) as world:
        assert (await world.asks("web-0", "x.org", server=ROUTER, seconds=2)).startswith("nothing")
        assert (await world.asks("web-0", "x.org", server=ROUTER, how="tcp", seconds=2)).startswith("nothing")
        assert await world.asks("web-0", "c2VjcmV0.evil.org", kind="TXT") == "REFUSED"
        assert await world.asks("web-0", "c2VjcmV0.x.org") == "REFUSED"
        assert await world.asks("web-0", "x.org", kind="TXT") == "NOERROR"
        assert "c2VjcmV0" not in world.internet.asked and "TXT" not in world.internet.asked


async def test_an_isolated_guest_learns_the_clusters_names_and_reaches_nothing_outside(tmp_path: Path) -> None:
    async with a_world(tmp_path, Egress()) as world:
        for name in ("db-0.example.internal", "db.example.internal", "db", "DB-0.Example.Internal"):
            assert await world.asks("web-0", name) == "NOERROR 10.199.90.3", name
        assert await world.asks("web-0", "web-0.example.internal") == "NOERROR 10.199.90.2"
        assert await world.asks("db-0", "web-0.example.internal") == "NXDOMAIN", "its connect does not name it"
        assert await world.asks("web-0", "nobody.example.internal") == "NXDOMAIN"
        assert await world.asks("web-0", "x.org") == "REFUSED"
        for address in (LISTED, OTHER, ROUTER):
            assert await world.is_kept_from("web-0", address)


async def test_an_open_guest_reaches_everything_outside_and_nothing_more_inside(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.OPEN)) as world:
        assert await world.reaches("web-0", OTHER)
        assert await world.asks("web-0", "other.org") == f"NOERROR {OTHER}"
        assert (await world.asks("web-0", "x.org", server=ROUTER)) == f"NOERROR {LISTED}"
        with world.guests["db-0"].serving(80, 5432):
            assert await world.reaches("web-0", "10.199.90.3", 5432)
            assert await world.is_kept_from("web-0", "10.199.90.3", 80)
        (listener,) = await trio.open_tcp_listeners(0, host="0.0.0.0")  # noqa: S104 - what a guest must not reach
        async with listener:
            port = listener.socket.getsockname()[1]
            for address in (GATEWAY, MACHINE):
                assert await world.is_kept_from("web-0", address, port), address


async def test_a_clouds_metadata_service_tells_an_open_guest_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.OPEN)) as world:
        world.internet.run(IP, "addr", "add", "169.254.169.254/32", "dev", "eth0")
        tool(IP, "route", "add", "169.254.169.254/32", "dev", UPLINK)
        with socket.create_connection(("169.254.169.254", 80), timeout=PATIENCE):
            pass  # the machine itself is told
        assert await world.is_kept_from("web-0", "169.254.169.254")


_ONE_WORD = """
import socket, sys
said = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
said.bind((sys.argv[1], 0))
said.sendto(sys.argv[3].encode(), (sys.argv[2], 5432))
"""
_WORDS_HEARD = """
import socket, sys
from pathlib import Path
heard, listening = [], socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listening.bind(("", 5432))
Path(sys.argv[1]).touch()
listening.settimeout(50)
while "guest" not in heard:
    heard.append(listening.recv(99).decode())
listening.settimeout(1)
try:
    while True:
        heard.append(listening.recv(99).decode())
except TimeoutError:
    print(*heard)
"""
"""Until the guest's own word has come, which is said last, and whatever comes within a second of it."""


async def until_there(file: Path) -> None:
    with trio.fail_after(PATIENCE):
        while not file.exists():  # noqa: ASYNC110 - another process makes it
            await trio.sleep(0.02)


async def test_what_comes_in_by_a_link_in_a_guests_name_is_not_believed(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.OPEN)) as world:
        web, db, heard, listening = "10.199.90.2", "10.199.90.3", list[str](), tmp_path / "listening"

        def listen() -> None:
            heard.append(world.guests["db-0"].run(sys.executable, "-c", _WORDS_HEARD, str(listening)).strip())

        world.internet.run(IP, "addr", "add", f"{web}/32", "dev", "eth0")
        world.internet.run(IP, "route", "add", f"{db}/32", "via", MACHINE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, listen)
            await until_there(listening)
            world.internet.run(sys.executable, "-c", _ONE_WORD, web, db, "stranger")
            world.guests["web-0"].run(sys.executable, "-c", _ONE_WORD, web, db, "guest")
        assert heard == ["guest"], "by who may, and by nobody else"


_REDIRECT = """
import socket, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
asked.sendto(bytes([5, 1, 0xFA, 0xFE]) + bytes(32), (sys.argv[1], 0))
asked.sendto(bytes([8, 0, 0xF7, 0xFF]) + bytes(4), (sys.argv[1], 0))
"""
_WHO_SENDS = """
import socket, sys
from pathlib import Path
heard, listening = set(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
Path(sys.argv[1]).touch()
listening.settimeout(50)
try:
    while True:
        heard.add(listening.recvfrom(100)[1][0])
        listening.settimeout(2)
except TimeoutError:
    print(*sorted(heard))
"""


async def test_nothing_leaves_with_an_address_of_the_inside(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.OPEN)) as world:
        heard, listening = list[str](), tmp_path / "listening"

        def listen() -> None:
            heard.append(world.internet.run(sys.executable, "-c", _WHO_SENDS, str(listening)).strip())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, listen)
            await until_there(listening)
            world.guests["web-0"].run(sys.executable, "-c", _REDIRECT, OTHER)
        assert heard == [MACHINE]


async def test_the_machines_own_loopback_is_out_of_reach_although_published_ports_need_it(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.OPEN)) as world:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        guest = world.guests["web-0"]
        guest.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
        guest.run(IP, "addr", "del", "127.0.0.1/8", "dev", "lo")
        guest.run(IP, "route", "add", "127.0.0.1/32", "via", GATEWAY)
        async with listener:
            assert await world.is_kept_from("web-0", "127.0.0.1", listener.socket.getsockname()[1])


async def test_a_permission_that_has_ended_stops_new_flows_and_no_old_one(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.ALLOW, "x.org")) as world:
        tap = world.names.tap("web-0")
        await firewall.permit(world.names, [(tap, LISTED, 6)])
        with a_flow(world.guests["web-0"], LISTED) as flow:
            assert await answers(flow, b"one\n")
            with trio.fail_after(PATIENCE):
                while await firewall.permitted(world.names):  # noqa: ASYNC110 - the kernel does not tell us
                    await trio.sleep(0.1)
            assert await world.is_kept_from("web-0", LISTED), "an address that the guest kept beyond its time"
            assert await answers(flow, b"two\n")
            await world.asks("web-0", "x.org")
            assert await world.reaches("web-0", LISTED)
            await world.allow(egress(EgressMode.ALLOW, "x.org", "api.x.org"))
            assert await world.reaches("web-0", LISTED), "a change of the rules keeps what was permitted"
            assert await answers(flow, b"three\n")


async def test_a_guest_that_may_name_less_loses_what_it_was_permitted(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.ALLOW, "x.org", "other.org")) as world:
        await world.asks("web-0", "x.org"), await world.asks("web-0", "other.org")
        assert await world.reaches("web-0", OTHER)
        await world.allow(egress(EgressMode.ALLOW, "x.org"))
        assert await world.is_kept_from("web-0", OTHER)
        await world.asks("web-0", "x.org")
        assert await world.reaches("web-0", LISTED)
        await world.allow(Egress())
        assert await world.is_kept_from("web-0", LISTED)


async def test_a_published_port_leads_to_its_vm_from_outside_and_from_the_machine_itself(tmp_path: Path) -> None:
    async with a_world(tmp_path, Egress()) as world:
        with world.guests["db-0"].serving(80):
            assert await trio.to_thread.run_sync(world.internet.reaches, MACHINE, PUBLISHED)
            for address in ("127.0.0.1", MACHINE):
                stream = await trio.open_tcp_stream(address, PUBLISHED)
                await stream.aclose()
            assert await trio.to_thread.run_sync(world.internet.is_kept_from, MACHINE, 80)
            assert await world.is_kept_from("web-0", MACHINE, PUBLISHED), "inside it is connect that counts"


async def test_a_port_that_the_machine_uses_itself_is_not_taken_from_it(tmp_path: Path) -> None:
    (listener,) = await trio.open_tcp_listeners(PUBLISHED, host="127.0.0.1")
    async with listener, a_world(tmp_path, Egress()) as world:
        assert str(PUBLISHED) not in tool(NFT, "list", "table", "inet", world.names.table)


async def test_only_its_own_address_is_believed_of_a_guests_arp(tmp_path: Path) -> None:
    async with a_world(tmp_path, Egress()) as world:
        tap, guest = world.names.tap("web-0"), world.guests["web-0"]
        guest.run(IP, "addr", "add", "10.199.90.3/32", "dev", "eth0")
        for source in ("10.199.90.3", "10.199.90.2"):
            words = (BUSYBOX, "arping", "-c", "1", "-w", "1", "-I", "eth0", "-s", source, GATEWAY)
            await trio.to_thread.run_sync(partial(guest.run, *words, check=False))
        neighbours = tool(IP, "neigh", "show", "dev", tap)
        assert "10.199.90.3" not in neighbours and "10.199.90.2" in neighbours


async def test_what_comes_in_by_the_uplink_is_forwarded_to_vms_only(tmp_path: Path) -> None:
    forwarding = Path(f"/proc/sys/net/ipv4/conf/{UPLINK}/forwarding")
    async with a_world(tmp_path, egress(EgressMode.OPEN)) as world:
        assert forwarding.read_text().strip() == "1"
        listed = tool(NFT, "list", "set", "inet", world.names.table, "uplinks")
        assert UPLINK in listed
        await world.network.remove_all()
        assert forwarding.read_text().strip() == "0", "as it was before"


async def until_back(world: World) -> None:
    with trio.fail_after(PATIENCE):
        while not await firewall.is_in_force(world.names):  # noqa: ASYNC110 - the kernel does not tell us
            await trio.sleep(0.1)
    await trio.sleep(0.3)


async def test_who_flushes_the_rules_leaves_no_hole_behind(tmp_path: Path) -> None:
    async with a_world(tmp_path, egress(EgressMode.ALLOW, "x.org")) as world:
        await world.asks("web-0", "x.org")
        with a_flow(world.guests["web-0"], LISTED) as kept:
            assert await answers(kept, b"one\n")
            tool(NFT, "flush", "table", "inet", world.names.table)
            with a_flow(world.guests["web-0"], OTHER) as stolen:
                # No NAT without rules: what makes its way back here is a route that a larger network would have.
                world.internet.run(IP, "route", "add", "10.199.90.0/24", "via", MACHINE)
                assert await answers(stolen, b"begun while nobody looked\n")
                await until_back(world)
                with trio.fail_after(PATIENCE):
                    while await answers(stolen, b"and not ended\n", seconds=3):  # noqa: ASYNC110 - the kernel judges it
                        await trio.sleep(0.1)
            assert await answers(kept, b"two\n"), "what it may have goes on"
        assert await world.reaches("web-0", LISTED), "what it was permitted is permitted still"
        assert UPLINK in tool(NFT, "list", "set", "inet", world.names.table, "uplinks")


_ON_A_MACHINE_OF_ITS_OWN = """
import sys, trio
from pathlib import Path
from schema.blueprint import EgressMode
from worker import firewall
from worker.dhcp import DhcpServer
from worker.netplan import NetworkNames
from worker.network import Network
from worker.resolver.upstream import Upstream
from worker.tests.net_guests import IP, tool
from worker.tests.test_egress import egress, entries

names = NetworkNames(sys.argv[1])
network = Network(names, DhcpServer(names, below=Path(sys.argv[1])), Upstream([]))

def up(name):
    tool(IP, "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    tool(IP, "link", "set", f"{name}p", "up")
    tool(IP, "addr", "add", "203.0.113.1/24", "dev", name)
    tool(IP, "link", "set", name, "up")

async def story():
    await network.update(entries(egress(EgressMode.OPEN)), ())
    print(await firewall.noted_uplinks(names))
    up("late0")
    await network.look_outward()
    print(await firewall.noted_uplinks(names), Path("/proc/sys/net/ipv4/conf/late0/forwarding").read_text().strip())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    await network.look_outward()
    print(await firewall.noted_uplinks(names))
    up("later0")
    await network.look_outward()
    print(await firewall.noted_uplinks(names))

trio.run(story)
"""


def test_an_uplink_that_comes_later_is_used_and_a_machine_that_forwards_for_others_by_then_goes_on(
    tmp_path: Path,
) -> None:
    tool(IP, "netns", "add", "procurator-late")
    try:
        words = (IP, "netns", "exec", "procurator-late", sys.executable, "-c", _ON_A_MACHINE_OF_ITS_OWN, str(tmp_path))
        said = tool(*words).splitlines()
    finally:
        tool(IP, "netns", "del", "procurator-late")
    assert said == ["()", "('late0',) 1", "()", "()"]


@contextmanager
def a_flow(guest: Guest, address: str) -> Iterator["subprocess.Popen[bytes]"]:
    words = (IP, "netns", "exec", guest.namespace, BUSYBOX, "nc", address, "80")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        yield process
        process.kill()


async def answers(flow: "subprocess.Popen[bytes]", line: bytes, *, seconds: float = 30) -> bool:
    assert flow.stdin is not None and flow.stdout is not None
    flow.stdin.write(line)
    with trio.move_on_after(seconds), suppress(OSError):
        while not (await trio.to_thread.run_sync(flow.stdout.readline, abandon_on_cancel=True)).endswith(line):
            pass
        return True
    return False
