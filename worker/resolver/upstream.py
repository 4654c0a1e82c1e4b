"""Asks the machine's own name servers, one after the other; what an answer is worth is judged elsewhere."""

import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message

from schema.errors import Unavailable

SECONDS = 2.0
RESOLV_CONF = Path("/etc/resolv.conf")


def configured_servers(text: str) -> tuple[str, ...]:
    """The IPv4 and IPv6 name servers of a resolv.conf."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(str(ipaddress.ip_address(words[1].partition("%")[0])))
            except ValueError:
                continue
    return tuple(found)


class Upstream:
    """The name servers, `address` or `address:port` for IPv4. Without any, every question fails.

    With `file`, a resolv.conf, they are those that it names, also when it changes (another network, a VPN); while it
    cannot be read, those that were known last. Each is given `seconds`.
    """

    def __init__(self, servers: Sequence[str], *, file: Path | None = None, seconds: float = SECONDS) -> None:
        self._servers = tuple(_place(server) for server in servers)
        self._seconds = seconds
        self._file = file
        self._read: tuple[int, int, int] | None = None

    def servers(self) -> tuple[tuple[str, int], ...]:
        """Whom to ask now, as addresses and ports."""
        if self._file is not None:
            with suppress(OSError):
                found = self._file.stat()
                version = (found.st_mtime_ns, found.st_ino, found.st_size)
                if version != self._read:
                    text = self._file.read_text(errors="replace")
                    self._servers = tuple(_place(server) for server in configured_servers(text))
                    self._read = version
        return self._servers

    async def ask(self, query: dns.message.Message) -> dns.message.Message:
        """The first answer of any of them; cut ones are asked for again by TCP. Raises Unavailable."""
        reasons = []
        for address, port in self.servers():
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(
                    query, address, timeout=self._seconds, port=port, ignore_unexpected=True, ignore_errors=True
                )
            except (dns.exception.DNSException, OSError, EOFError) as error:
                reasons.append(f"{address}: {error}")
            else:
                return answer
        raise Unavailable("; ".join(reasons) or "this machine has no name server to ask")


def _place(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if colon and "." in host:
        return host, int(port)
    return server, 53
