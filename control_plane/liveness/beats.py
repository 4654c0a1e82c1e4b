"""When a worker reports next that has nothing new: each at a moment of its own, so that a fleet comes evenly spread.

Without it all that changed together, as in a rollout, would report together from then on. Polls that nothing ends do so
at such moments too, for they begin together where a generation is told to all.
"""

from zlib import crc32

NEAR = 100
"""Who comes within one such part of an interval before its moment is on time."""


def next_beat_ms(worker_id: str, *, now_ms: int, interval_ms: int) -> int:
    """In how many milliseconds `worker_id` reports at the latest, or its poll ends: 1 to `interval_ms`."""
    moment = crc32(worker_id.encode()) % interval_ms
    ahead = (moment - now_ms) % interval_ms
    return ahead if ahead > interval_ms // NEAR else interval_ms
