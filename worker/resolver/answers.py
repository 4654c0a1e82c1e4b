"""DNS messages for decisions, and what counts of an upstream's answer; it sends nothing and keeps nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

MOST_ADDRESSES = 32
"""Of one answer."""
SHORTEST_UDP = 512
LONGEST_UDP = 1232
"""Bytes that cross any link whole (DNS flag day 2020)."""
LONGEST_TCP = 65_535
LONGEST_TTL = 3600
INSIDE_TTL = 5
"""Seconds: an instance may move."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that can be judged: its name in lower case without the dot at its end, and its type's name."""

    message: dns.message.Message
    name: str
    kind: str
    room: int
    """Bytes that its asker takes by UDP."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an upstream knows of a name: addresses, and how long they hold in seconds."""

    addresses: tuple[str, ...]
    ttl: int
    message: dns.message.Message


def read_question(wire: bytes) -> Question | dns.message.Message | None:
    """The question; an answer to it that refuses what we cannot judge; or None where not even that can be made."""
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    if message.flags & dns.flags.QR:
        return None
    if message.opcode() != dns.opcode.QUERY:
        return answer(message, dns.rcode.NOTIMP)
    if len(message.question) != 1 or message.question[0].rdclass != dns.rdataclass.IN:
        return answer(message, dns.rcode.FORMERR)
    asked = message.question[0]
    name = asked.name.to_text(omit_final_dot=True).lower()
    kind = dns.rdatatype.to_text(asked.rdtype)
    room = min(max(message.payload, SHORTEST_UDP), LONGEST_UDP) if message.edns >= 0 else SHORTEST_UDP
    return Question(message, name, kind, room)


def answer(query: dns.message.Message, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    """An answer without records."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=LONGEST_UDP)
    response.set_rcode(code)
    return response


def answer_addresses(query: dns.message.Message, addresses: Iterable[str], *, ttl: int) -> dns.message.Message:
    """An answer of A records for exactly the name that was asked."""
    response = answer(query)
    asked = query.question[0]
    listed = list(addresses)[:MOST_ADDRESSES]
    if listed:
        response.answer.append(dns.rrset.from_text(asked.name, ttl, "IN", "A", *listed))
    return response


def outgoing(question: Question) -> dns.message.Message:
    """The same question in our own words, with an id of our own (random)."""
    return dns.message.make_query(question.message.question[0].name, question.kind, use_edns=0, payload=LONGEST_UDP)


def read_addresses(response: dns.message.Message) -> Found | None:
    """The addresses that the name stands for, through its aliases; None where that is not what the answer says.

    Raises nothing: an answer of another shape is one without addresses.
    """
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    try:
        chain = response.resolve_chaining()  # type: ignore[attr-defined] # a query message has it
    except (dns.exception.DNSException, AttributeError):
        return Found((), 0, response)
    if chain.answer is None:
        return Found((), 0, response)
    ttl = max(1, min(chain.minimum_ttl, LONGEST_TTL))
    return Found(tuple(record.address for record in chain.answer)[:MOST_ADDRESSES], ttl, response)


def to_tcp(response: dns.message.Message) -> bytes:
    """The wire form, whole: what its asker takes by UDP (EDNS) does not count here, though dnspython goes by it."""
    return response.to_wire(max_size=LONGEST_TCP)


def to_udp(response: dns.message.Message, room: int) -> bytes:
    """The wire form; what does not fit is cut off and says so, and its asker comes again by TCP."""
    wire = to_tcp(response)
    if len(wire) <= room:
        return wire
    cut = dns.message.Message(id=response.id)
    cut.flags = response.flags | dns.flags.TC
    cut.question = response.question
    return cut.to_wire()
