"""Who may ask for which names, and what an answer from outside is worth; from values alone."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from schema.blueprint import Egress, EgressMode
from schema.errors import TooLarge, Unavailable
from worker.netplan import NetworkNames
from worker.resolver.answers import Question, answer_addresses, read_addresses, read_question, to_udp
from worker.resolver.load import Load
from worker.resolver.permits import MOST_OF_A_TAP, Permits
from worker.resolver.policy import Client, Decision, Fate, Policy, decide, is_listed, resolver_policy, usable
from worker.resolver.server import MOST_OF_A_GUEST, Resolver
from worker.resolver.upstream import Upstream, configured_servers
from worker.tests.builders import a_content, a_spec, an_attachment
from worker.vm_state import Desired

HERE = "127.53.0.53"
"""Of this machine, and of nobody else on it: a port that was free there stays so."""
NAMES = NetworkNames("worker-0\n/x")
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


def a_policy(mode: EgressMode = EgressMode.ISOLATED, *domains: str) -> tuple[Policy, Client]:
    web = a_content(spec=a_spec("web", connect=("db:5432",), egress=Egress(mode=mode, domains=domains)))
    desired = {
        "web-0": Desired("web-0", web, an_attachment(2), cluster="example"),
        "db-0": Desired("db-0", a_content(spec=a_spec("db")), an_attachment(3), cluster="example"),
        "db-1": Desired("db-1", a_content(spec=a_spec("db")), an_attachment(4), cluster="example"),
    }
    policy = resolver_policy(NAMES, desired, {name: one.attachment for name, one in desired.items()})
    return policy, policy.clients["10.77.0.2"]


def test_a_vms_name_stands_for_all_of_its_instances() -> None:
    policy, web = a_policy()
    assert decide(policy, web, "db.example.internal", "A") == Decision(Fate.HERE, ("10.77.0.3", "10.77.0.4"))
    assert decide(policy, web, "db-1.example.internal", "A") == Decision(Fate.HERE, ("10.77.0.4",))
    assert decide(policy, web, "db", "AAAA") == Decision(Fate.EMPTY)


def test_who_is_not_assigned_any_more_may_ask_nothing() -> None:
    policy = resolver_policy(NAMES, {}, {"web-0": an_attachment()})
    assert policy.clients == {}


@pytest.mark.parametrize(
    ("name", "fate"),
    [
        ("x.org", Fate.FORWARD),
        ("a.x.org", Fate.REFUSED),
        ("a.y.org", Fate.FORWARD),
        ("a.b.y.org", Fate.FORWARD),
        ("y.org", Fate.REFUSED),
        ("evily.org", Fate.REFUSED),
        ("x.org.evil.net", Fate.REFUSED),
        ("", Fate.UNKNOWN),
        ("example.internal", Fate.REFUSED),
        (".example.internal", Fate.UNKNOWN),
        ("a\\.y.org", Fate.REFUSED),
    ],
)
def test_a_list_lets_exactly_its_names_through(name: str, fate: Fate) -> None:
    policy, web = a_policy(EgressMode.ALLOW, "x.org", "*.y.org")
    assert decide(policy, web, name, "A").fate is fate


@given(st.lists(LABEL, min_size=1, max_size=4), st.lists(LABEL, min_size=1, max_size=3))
def test_a_wildcard_lets_through_what_is_below_it_and_nothing_else(labels: list[str], below: list[str]) -> None:
    domain, name = ".".join(labels), ".".join((*below, *labels))
    assert is_listed(name, [f"*.{domain}"])
    assert not is_listed(domain, [f"*.{domain}"])
    assert not is_listed(f"{below[0]}{domain}", [f"*.{domain}"]) or "." in below[0]


@given(st.ip_addresses(v=4).map(str))
def test_no_answer_from_outside_leads_into_the_cluster_or_to_this_machine(address: str) -> None:
    policy, _ = a_policy(EgressMode.OPEN)
    special = address.startswith(("10.77.0.", "127.", "169.254.", "0.", "192.0.0."))
    forbidden = special or int(address.partition(".")[0]) >= 224
    assert usable(policy, [address]) == (() if forbidden else (address,))


@given(st.binary(max_size=600))
def test_no_bytes_break_the_reading_of_a_question(wire: bytes) -> None:
    found = read_question(wire)
    if isinstance(found, dns.message.Message):
        found.to_wire()


def a_question(name: str = "X.org", **more: int) -> Question:
    found = read_question(dns.message.make_query(name, "A", **more).to_wire())  # type: ignore[arg-type]
    assert isinstance(found, Question)
    return found


def test_a_question_is_judged_in_lower_case_and_answered_in_its_own() -> None:
    question = a_question()
    assert (question.name, question.kind, question.room) == ("x.org", "A", 512)
    assert a_question(use_edns=0, payload=4096).room == 1232
    assert "X.org. 60 IN A 192.0.2.1" in answer_addresses(question.message, ["192.0.2.1"], ttl=60).to_text()


def test_an_answer_is_not_a_question() -> None:
    reply = dns.message.make_response(dns.message.make_query("x.org", "A"))
    assert read_question(reply.to_wire()) is None


def test_addresses_are_found_through_aliases_with_the_shortest_of_their_times() -> None:
    reply = dns.message.make_response(dns.message.make_query("a.org", "A"))
    reply.answer = [
        dns.rrset.from_text("a.org.", 30, "IN", "CNAME", "b.org."),
        dns.rrset.from_text("b.org.", 300, "IN", "A", "192.0.2.1", "192.0.2.2"),
        dns.rrset.from_text("c.org.", 300, "IN", "A", "192.0.2.3"),
    ]
    found = read_addresses(dns.message.from_wire(reply.to_wire()))
    assert found is not None
    assert (set(found.addresses), found.ttl) == ({"192.0.2.1", "192.0.2.2"}, 30)


def test_what_does_not_fit_says_so() -> None:
    many = answer_addresses(a_question().message, [f"192.0.2.{number}" for number in range(1, 200)], ttl=60)
    cut = dns.message.from_wire(to_udp(many, 512))
    assert cut.flags & dns.flags.TC and not cut.answer
    assert len(dns.message.from_wire(to_udp(many, 1232)).answer[0]) == 32


def test_a_guest_that_asks_too_much_waits_and_others_do_not() -> None:
    load = Load(per_second=10.0, burst=5.0)
    assert [load.allows("a", now=0.0) for _ in range(6)] == [True] * 5 + [False]
    assert load.allows("b", now=0.0)
    assert load.allows("a", now=0.1)
    assert not load.allows("a", now=0.1)


async def test_permissions_asked_for_together_are_written_together_and_once(autojump_clock: object) -> None:
    written: list[list[tuple[str, str, int]]] = []

    async def write(permits: object) -> None:
        await trio.sleep(1)
        written.append(sorted(permits))  # type: ignore[call-overload]

    permits = Permits(write)
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(partial(permits.permit, "tap", [f"192.0.2.{number}"], ttl=10))
            await trio.sleep(0.1)
    assert [len(batch) for batch in written] == [1, 3]
    await permits.permit("tap", ["192.0.2.1"], ttl=10)
    assert len(written) == 2
    await permits.permit("tap", ["192.0.2.1"], ttl=600)
    assert written[-1] == [("tap", "192.0.2.1", 600)]
    permits.forget(["tap"])
    await permits.permit("tap", ["192.0.2.1"], ttl=10)
    assert len(written) == 4


async def test_one_guest_is_not_permitted_addresses_without_end() -> None:
    async def write(_permits: object) -> None:
        pass

    permits = Permits(write)
    await permits.permit("tap", [f"192.0.{high}.{low}" for high in range(16) for low in range(256)], ttl=60)
    with pytest.raises(TooLarge, match=str(MOST_OF_A_TAP)):
        await permits.permit("tap", ["203.0.113.1"], ttl=60)
    await permits.permit("other", ["203.0.113.1"], ttl=60)


@asynccontextmanager
async def a_resolver(upstream: Upstream) -> AsyncIterator[int]:
    """One that answers 127.0.0.1 as an open guest; its port, at HERE."""

    async def write(_permits: object) -> None:
        pass

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HERE, 0))
        port = int(free.getsockname()[1])
    client = Client("web-0", "tap", EgressMode.OPEN, frozenset(), frozenset({"many"}))
    resolver = Resolver(upstream, Permits(write), port=port)
    many = tuple(f"192.0.2.{number}" for number in range(1, 41))
    resolver.follow(Policy("example.internal", {"many": many}, {"127.0.0.1": client}), [HERE])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resolver.run)
        with trio.fail_after(30):
            while not await _listens(port):  # noqa: ASYNC110 - only a connection tells
                await trio.sleep(0.01)
        yield port
        nursery.cancel_scope.cancel()


async def _listens(port: int) -> bool:
    try:
        await (await trio.open_tcp_stream(HERE, port)).aclose()
    except OSError:
        return False
    return True


async def test_an_asker_with_little_room_gets_a_cut_answer_and_the_whole_one_by_tcp() -> None:
    question = dns.message.make_query("many.example.internal", "A", use_edns=0, payload=512)
    async with a_resolver(Upstream(())) as port:
        cut = await dns.asyncquery.udp(question, HERE, timeout=30, port=port)
        assert cut.flags & dns.flags.TC
        whole = await dns.asyncquery.tcp(question, HERE, timeout=30, port=port)
        assert len(whole.answer[0]) == 32


async def test_connections_that_are_reset_before_they_are_looked_at_harm_nobody() -> None:
    def attack(port: int) -> None:
        for _ in range(100):
            with socket.create_connection((HERE, port)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with a_resolver(Upstream(())) as port:
        await trio.to_thread.run_sync(attack, port)
        question = dns.message.make_query("many", "AAAA")
        assert (await dns.asyncquery.udp(question, HERE, timeout=30, port=port)).rcode() == dns.rcode.NOERROR


def read_away(silent: socket.socket) -> int:
    """How many packets wait there, which then wait no more."""
    silent.setblocking(False)
    found = 0
    with suppress(BlockingIOError):
        while silent.recv(512):
            found += 1
    return found


async def test_one_guest_whose_names_are_never_answered_leaves_room_for_others() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address, number = silent.getsockname()
        async with a_resolver(Upstream([f"{address}:{number}"], seconds=120)) as port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
                for count in range(100):
                    guest.sendto(dns.message.make_query(f"n{count}.org", "A").to_wire(), (HERE, port))
                asked = 0
                with trio.fail_after(30):
                    while asked < MOST_OF_A_GUEST:
                        await trio.sleep(0.02)
                        asked += read_away(silent)
                await trio.sleep(0.5)
            assert asked + read_away(silent) == MOST_OF_A_GUEST


async def test_a_machine_without_a_name_server_says_so() -> None:
    with pytest.raises(Unavailable, match="no name server"):
        await Upstream(()).ask(dns.message.make_query("x.org", "A"))


def test_name_servers_are_read_from_resolv_conf() -> None:
    text = "# x\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver nonsense\nsearch x.org\nnameserver\n"
    assert configured_servers(text) == ("192.0.2.53", "fe80::1")


def test_a_resolv_conf_is_read_again_when_it_changes_and_kept_in_mind_when_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    upstream = Upstream((), file=file)
    assert upstream.servers() == ()
    file.write_text("nameserver 192.0.2.1\n")
    assert upstream.servers() == (("192.0.2.1", 53),)
    (tmp_path / "new").write_text("search x.org\nnameserver 192.0.2.2\nnameserver 2001:db8::1\n")
    (tmp_path / "new").replace(file)
    assert upstream.servers() == (("192.0.2.2", 53), ("2001:db8::1", 53))
    file.unlink()
    assert upstream.servers() == (("192.0.2.2", 53), ("2001:db8::1", 53))
