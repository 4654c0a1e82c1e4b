"""Who asks over HTTP, and whether a browser was tricked into asking; it knows no route and looks up no token.

A page on the web can have a browser send requests to this machine, and by DNS rebinding even read the answers. So the
`Host` must be one that no stranger can own (an address, a loopback name, or one that the settings name), requests that
a browser marks as coming from another site are refused, and no answer allows another origin to read it.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.http.problems import Refused, headers_of, problem
from schema.interfaces import Role
from schema.names import is_loopback

ANONYMOUS = "anonymous"
"""The subject of who sends no credential."""
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What a proxy adds: then the peer is not who asks, and is not taken for a program on this machine."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`anonymous`: the role of who asks from this machine without a token. `hosts`: further names of ours."""

    anonymous: Role | None = Role.VIEWER
    hosts: frozenset[str] = frozenset()


def check_host(headers: Mapping[str, str], policy: Policy) -> None:
    """Raises Refused for a name that is not ours, and for what a browser sends on behalf of another site."""
    host = headers.get("host", "")
    if not _is_ours(host, policy):
        detail = f"Host {host[:200]!r} is not a name of this control plane"
        raise Refused(problem("misdirected", detail, about="header.host"))
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        detail = "a page of another site may not read this"
        raise Refused(problem("permission-denied", detail, about="header.sec-fetch-site", way_out="open it directly"))


def _is_ours(host: str, policy: Policy) -> bool:
    name = _name(host)
    if name in policy.hosts or is_loopback(name):
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """The host without its port, in lower case; empty for what is none."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name, port = host, "0"
    if not port.isdigit():
        return ""
    return name.removeprefix("[").removesuffix("]").lower().rstrip(".")


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token that the request carries, None without one. Raises Refused for a credential of another kind."""
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, secret = given.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Refused(
            problem("unauthenticated", "only Authorization: Bearer <token> is taken", about="header.authorization"),
            **headers_of(401),
        )
    return secret.strip()


def anonymous_role(peer: str, headers: Mapping[str, str], policy: Policy) -> Role | None:
    """The role without a token: the policy's for programs on this machine, none for all others."""
    if policy.anonymous is None or any(name in headers for name in FORWARDED):
        return None
    return policy.anonymous if is_loopback(peer) else None
