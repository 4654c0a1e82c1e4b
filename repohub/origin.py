"""Which requests a browser may not make on behalf of another site; it knows nothing of people or rights.

Pushing and creating are open to whoever reaches the port, so what must not happen is that a page of another site uses
a visitor's browser to reach it. Three lines of defence: the Host must be ours (DNS rebinding), a request that changes
something must not come from another origin (Origin and Sec-Fetch-Site), and its content type must be one that HTML
forms cannot send, so that scripts of other sites need a CORS preflight, which is never granted.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from schema.errors import InvalidInput, PermissionDenied


def host_of(authority: str) -> str:
    """The host in a `Host` header or in a URL's authority, lower case, without port and brackets.

    Raises InvalidInput when it is none.
    """
    try:
        host = urlsplit(f"//{authority}").hostname
    except ValueError:
        host = None
    if not host or any(c in authority for c in "/?#@\\ "):
        raise InvalidInput("the Host header names no host")
    return host


def check_host(authority: str, *, allowed: Collection[str]) -> None:
    """Refuse a Host that is no IP address, not `localhost` and not in `allowed` (PermissionDenied, InvalidInput).

    An attacker's DNS name can be pointed at this address, an IP address cannot.
    """
    host = host_of(authority)
    if host == "localhost" or host.endswith(".localhost") or host in allowed:
        return
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise PermissionDenied(f"no site of that name here; add {host!r} to [site] allowed_hosts") from None


def check_same_site(headers: Mapping[str, str], *, content_type: str) -> None:
    """Refuse a changing request that another site's page made, or whose media type is not `content_type`.

    `headers` has lower-case names. Raises PermissionDenied or InvalidInput.
    """
    fetch_site = headers.get("sec-fetch-site")
    if fetch_site not in {None, "same-origin", "none"}:
        raise PermissionDenied("a page of another site made this request")
    origin = headers.get("origin")
    if origin is not None:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or parts.netloc.lower() != headers.get("host", "").lower():
            raise PermissionDenied("a page of another origin made this request")
    sent = headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != content_type:
        raise InvalidInput(f"the content type must be {content_type}")
