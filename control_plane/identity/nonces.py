"""Nonces that this process gave out, each good once and for a short time; it keeps nothing on disk, see below.

A nonce carries when and to whom it was given and a MAC over that, so that strangers who ask for thousands fill no
memory: only those that were used are remembered, for as long as they could be used again. The MAC's key is made anew
at every start, so that nothing recorded before a restart is worth anything after it (decision 0071).
"""

import hashlib
import hmac
from collections import OrderedDict

from schema.errors import Unauthenticated, Unavailable

NONCE_MS = 60_000
"""How long a worker has from challenge to login."""
MOST_REMEMBERED = 200_000
"""Used nonces at once: a fleet's worth of logins a second. More is a flood."""
_RANDOM_BYTES = 16


class Nonces:
    """The nonces of one process; `starts` is how often its database was opened, `secret` 32 fresh random bytes."""

    def __init__(self, *, starts: int, secret: bytes) -> None:
        self._starts = starts
        self._secret = secret
        self._used: OrderedDict[str, int] = OrderedDict()

    def give(self, worker_id: str, *, now_ms: int, random: bytes) -> str:
        """A nonce for `worker_id`, from 16 random bytes; `now_ms` never jumps."""
        if len(random) != _RANDOM_BYTES:
            raise ValueError(f"a nonce is made from {_RANDOM_BYTES} random bytes, not {len(random)}")
        body = f"{self._starts}.{now_ms}.{random.hex()}"
        return f"{body}.{self._mac(worker_id, body)}"

    def _mac(self, worker_id: str, body: str) -> str:
        return hmac.new(self._secret, f"{worker_id}\n{body}".encode(), hashlib.sha256).hexdigest()

    def use(self, nonce: str, worker_id: str, *, now_ms: int) -> None:
        """Take a nonce, once.

        Raises Unauthenticated, each told apart: given before a restart, never given (to this worker), expired, used.
        Raises Unavailable when more are used at once than can be remembered.
        """
        self._forget(now_ms)
        body, _, mac = nonce.rpartition(".")
        starts, _, rest = body.partition(".")
        if starts.isascii() and starts.isdigit() and starts != str(self._starts):
            raise Unauthenticated("the nonce was given before the control plane's last start: ask for another")
        if not hmac.compare_digest(mac.encode(), self._mac(worker_id, body).encode()):
            raise Unauthenticated(f"this control plane never gave that nonce to worker {worker_id!r}")
        if nonce in self._used:
            raise Unauthenticated("the nonce was used already: this is a login that was made before (a replay)")
        if now_ms - int(rest.partition(".")[0]) > NONCE_MS:
            raise Unauthenticated(f"the nonce has expired: it is good for {NONCE_MS // 1000} s")
        if len(self._used) >= MOST_REMEMBERED:
            raise Unavailable("too many workers log in at once")
        self._used[nonce] = now_ms

    def _forget(self, now_ms: int) -> None:
        """A nonce that was used so long ago has expired by itself."""
        while self._used and now_ms - next(iter(self._used.values())) > NONCE_MS:
            self._used.popitem(last=False)
