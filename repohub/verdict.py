"""What CI's answer to a delivery means, and when to try again; it sends nothing."""

from dataclasses import dataclass

from schema.names import printable

MAX_DELAY = 30.0
"""Seconds between two attempts at most."""

_RETRIED = frozenset({401, 403, 408, 425, 429})
"""4xx answers that are about the connection or our token, not about this push: those are repaired, not given up."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """CI has it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """CI will never take it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """CI could not take it now."""

    reason: str


Verdict = Delivered | Refusal | Retry


def verdict_of(status: int, body: str) -> Verdict:
    """What the answer to one `POST /v1/pushes` means; `body` is shown as the reason."""
    said = " ".join(printable(body).split())[:300]
    reason = f"CI answered {status}" + (f": {said}" if said else "")
    if 200 <= status < 300:
        return Delivered()
    if 400 <= status < 500 and status not in _RETRIED:
        return Refusal(reason)
    return Retry(reason)


def delay_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 0.25, doubling, at most MAX_DELAY."""
    return min(MAX_DELAY, 0.25 * 2.0 ** min(failures - 1, 10))
