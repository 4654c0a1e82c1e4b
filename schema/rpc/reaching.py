"""The address of a control plane as a client's settings name it: with TLS, or said to go without; it opens nothing."""

from pathlib import Path

from schema.errors import InvalidInput
from schema.names import is_loopback
from schema.rpc.transport.sockets import Address, UnixAddress, parse_address
from schema.rpc.transport.tls import ClientTls


def reach(text: str, *, ca: Path | None = None, server_name: str = "", plaintext: bool = False) -> Address:
    """`text` (`unix:/path`, `/path`, `host:port`) with whom to believe there.

    `ca` is a file of certificates (PEM); `server_name` what the server's certificate says, by default the host.
    Raises InvalidInput for half of that, and for another machine without TLS unless `plaintext` is said.
    """
    plain = parse_address(text)
    if server_name and ca is None:
        raise InvalidInput("server_name is set, and ca (who signed that server's certificate) is missing")
    if isinstance(plain, UnixAddress):
        if ca is not None:
            raise InvalidInput(f"ca is set, and {text} is a unix socket, which has no TLS")
        return plain
    if ca is not None:
        return parse_address(text, tls=ClientTls(ca, server_name or plain.host))
    if not plaintext and not is_loopback(plain.host):
        raise InvalidInput(f"{text} is on another machine and there is no TLS: name its CA, or say plaintext = true")
    return plain
