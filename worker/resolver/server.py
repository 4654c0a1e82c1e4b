"""The resolver at work: guests ask it by UDP and TCP at their gateway's address; who may ask what is `policy`."""

import logging
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import dns.exception
import dns.message
import dns.rcode
import trio

from schema.blueprint import EgressMode
from schema.errors import ProcuratorError, TooLarge
from worker.resolver.answers import (
    INSIDE_TTL,
    Question,
    answer,
    answer_addresses,
    outgoing,
    read_addresses,
    read_question,
    to_tcp,
    to_udp,
)
from worker.resolver.load import Load
from worker.resolver.permits import Permits
from worker.resolver.policy import Client, Fate, Policy, decide, usable
from worker.resolver.upstream import Upstream

PORT = 53
MOST_AT_ONCE = 256
"""Questions in flight, of all guests."""
MOST_OF_A_GUEST = 32
"""Of one guest: the servers of a name that it may ask for may be its own, and never answer."""
MOST_CONNECTIONS = 8
"""TCP connections of one guest."""
IDLE_SECONDS = 10.0
_MAX_WIRE = 4096
IP_FREEBIND = 15
"""Linux' `ip(7)`; Python names it only from 3.14 on."""

log = logging.getLogger(__name__)


class Resolver:
    """One per worker. `follow` gives it the policy and the addresses to listen on; `run` answers."""

    def __init__(self, upstream: Upstream, permits: Permits, *, port: int = PORT) -> None:
        self._upstream = upstream
        self._permits = permits
        self._port = port
        self._policy = Policy()
        self._wanted: frozenset[str] = frozenset()
        self._changed = trio.Event()
        self._load = Load()
        self._at_once = trio.CapacityLimiter(MOST_AT_ONCE)
        self._connections: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self.refused = 0

    def follow(self, policy: Policy, gateways: Iterable[str]) -> None:
        """Answer by `policy` from now on, at these addresses (and at those that were there before)."""
        self._policy = policy
        self._load.keep(frozenset(policy.clients))
        self._wanted |= frozenset(gateways)
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. An address that cannot be had yet is tried again."""
        listening: set[str] = set()
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = trio.Event()
                for address in sorted(self._wanted - listening):
                    try:
                        udp, tcp = _sockets(address, self._port)
                    except OSError as error:
                        log.warning("cannot answer names at %s:%d yet: %s", address, self._port, error)
                        continue
                    listening.add(address)
                    nursery.start_soon(self._serve_udp, udp)
                    nursery.start_soon(self._serve_tcp, tcp)
                with trio.move_on_after(2.0 if self._wanted - listening else float("inf")):
                    await self._changed.wait()

    async def _serve_udp(self, listener: trio.socket.SocketType) -> None:
        with listener:
            await self._answer_all(listener)

    async def _answer_all(self, listener: trio.socket.SocketType) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    wire, (source, port, *_) = await listener.recvfrom(_MAX_WIRE)
                except OSError:
                    continue  # what an earlier answer met, an unreachable guest perhaps
                if self._at_once.available_tokens > 0:
                    nursery.start_soon(self._answer_udp, listener, wire, source, port)

    async def _answer_udp(self, listener: trio.socket.SocketType, wire: bytes, source: str, port: int) -> None:
        found = await self._answered(wire, source)
        if found is not None:
            # What a guest brought into its question or an answer may not have a wire form; nobody else is to feel it.
            with suppress(OSError, dns.exception.DNSException):
                await listener.sendto(to_udp(*found), (source, port))

    async def _serve_tcp(self, listener: trio.SocketListener) -> None:
        async def serve(stream: trio.SocketStream) -> None:
            async with stream:
                with suppress(OSError, trio.BrokenResourceError, dns.exception.DNSException):
                    source = stream.socket.getpeername()[0]  # OSError: reset before we looked
                    with _counted(self._connections, source, most=MOST_CONNECTIONS) as has_room:
                        if has_room:
                            await self._answer_tcp(stream, source)

        await trio.serve_listeners(serve, [listener])

    async def _answer_tcp(self, stream: trio.SocketStream, source: str) -> None:
        while True:
            with trio.move_on_after(IDLE_SECONDS):
                head = await _exactly(stream, 2)
                wire = await _exactly(stream, struct.unpack("!H", head)[0]) if head else b""
                found = await self._answered(wire, source) if wire else None
                if found is None:
                    return
                data = to_tcp(found[0])
                await stream.send_all(struct.pack("!H", len(data)) + data)
                continue
            return

    async def _answered(self, wire: bytes, source: str) -> tuple[dns.message.Message, int] | None:
        """The answer and the room for it; None where there is nothing to say to that asker."""
        client = self._policy.clients.get(source)
        if client is None or not self._load.allows(source, now=trio.current_time()):
            return None
        question = read_question(wire)
        if question is None:
            return None
        if not isinstance(question, Question):
            return question, 512
        with _counted(self._in_flight, source, most=MOST_OF_A_GUEST) as has_room:
            if not has_room:
                return None
            async with self._at_once:
                return await self._judged(client, question), question.room

    async def _judged(self, client: Client, question: Question) -> dns.message.Message:
        decision = decide(self._policy, client, question.name, question.kind)
        match decision.fate:
            case Fate.HERE:
                return answer_addresses(question.message, decision.addresses, ttl=INSIDE_TTL)
            case Fate.EMPTY:
                return answer(question.message)
            case Fate.UNKNOWN:
                return answer(question.message, dns.rcode.NXDOMAIN)
            case Fate.REFUSED:
                self.refused += 1
                return answer(question.message, dns.rcode.REFUSED)
            case Fate.FORWARD:
                return await self._forwarded(client, question)

    async def _forwarded(self, client: Client, question: Question) -> dns.message.Message:
        try:
            response = await self._upstream.ask(outgoing(question))
            if question.kind != "A":
                return _relayed(question, response)
            found = read_addresses(response)
            if found is None:
                return answer(question.message, dns.rcode.SERVFAIL)
            addresses = usable(self._policy, found.addresses)
            if not addresses:
                code = response.rcode() if not found.addresses else dns.rcode.REFUSED
                return answer(question.message, code)
            if client.mode is EgressMode.ALLOW:
                await self._permits.permit(client.tap, addresses, ttl=found.ttl)
        except TooLarge as error:
            log.warning("%s: %s", client.instance, error.message)
            return answer(question.message, dns.rcode.REFUSED)
        except ProcuratorError as error:
            log.warning("%s asked for %s: %s", client.instance, question.name[:100], error.message)
            return answer(question.message, dns.rcode.SERVFAIL)
        return answer_addresses(question.message, addresses, ttl=found.ttl)


def _relayed(question: Question, response: dns.message.Message) -> dns.message.Message:
    relayed = answer(question.message, response.rcode())
    relayed.answer = response.answer
    return relayed


@contextmanager
def _counted(counts: Counter[str], source: str, *, most: int) -> Iterator[bool]:
    """Count one more of `source` for as long as it lasts; False where it has `most` already."""
    if counts[source] >= most:
        yield False
        return
    counts[source] += 1
    try:
        yield True
    finally:
        counts[source] -= 1
        if not counts[source]:
            del counts[source]


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            return b""
        data += more
    return data


def _sockets(address: str, port: int) -> tuple[trio.socket.SocketType, trio.SocketListener]:
    """Bound although the address may be on no tap yet: guests that are adopted ask at once. Raises OSError."""
    bound: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            made = socket.socket(socket.AF_INET, kind)
            bound.append(made)
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            if kind is socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
        bound[1].listen(64)
    except OSError:
        for made in bound:
            made.close()
        raise
    udp, tcp = map(trio.socket.from_stdlib_socket, bound)
    return udp, trio.SocketListener(tcp)
