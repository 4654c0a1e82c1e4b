"""How many workers may wait for a decision, and who makes room for another: strangers shall neither fill the disk nor
keep others out; it decides about no worker's admission.
"""

import ipaddress
from collections import Counter

from control_plane.identity.changes import AdmissionForgotten
from control_plane.identity.records import AdmissionRecord, IdentityState
from schema.errors import Unavailable
from schema.operations import Admission

MOST_PENDING = 1000
"""Workers that wait for a decision at once."""
MOST_OF_ONE = 100
"""Of them from one source."""
PUSHED_OUT_AFTER_MS = 3600_000
"""For so long whoever asked is kept for an operator to see. It also bounds how fast the audit grows under a flood."""


def source_of(peer: str) -> str:
    """What counts as one source: an IPv4 address, the /64 of an IPv6 one, all of the unix socket."""
    try:
        address = ipaddress.ip_address(peer.strip("[]"))
    except ValueError:
        return peer
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def room_for(state: IdentityState, fresh: AdmissionRecord) -> tuple[AdmissionForgotten, ...]:
    """Who is forgotten for `fresh` to wait: nobody while there is room, else the oldest of the source with the most.

    Raises Unavailable: too many wait from the same source, or from all and none of them long enough.
    """
    waiting = [one for one in state.admissions.values() if one.admission is Admission.PENDING]
    sources = Counter(source_of(one.peer) for one in waiting)
    source = source_of(fresh.peer)
    if sources[source] >= MOST_OF_ONE:
        raise Unavailable(f"{sources[source]} workers wait for a decision already that asked from {source}")
    if len(waiting) < MOST_PENDING:
        return ()
    crowd = max(sorted(sources), key=sources.__getitem__)
    oldest = min(
        (one for one in waiting if source_of(one.peer) == crowd), key=lambda one: (one.asked_at_ms, one.worker_id)
    )
    if fresh.asked_at_ms - oldest.asked_at_ms < PUSHED_OUT_AFTER_MS:
        raise Unavailable(f"{len(waiting)} workers wait for a decision already; a join token is let in at once")
    return (AdmissionForgotten(oldest.worker_id),)
