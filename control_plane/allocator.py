"""How glibc's malloc hands memory back, for a process with thousands of connections; it allocates nothing itself.

Each connection has a buffer of 64 KiB of which KJ touches a few pages, and is sent assignments of tens of KiB. In
malloc's heap the one lies on pages that others have touched, and the other leaves holes that nothing of its size fills.
"""

import ctypes

MAPPED_FROM_BYTES = 16 * 1024
"""Blocks from this size on are mapped each by itself: pages that nobody touched cost nothing, freed ones are gone."""
MOST_MAPPED = 32_768
"""Half of what the kernel allows a process (vm.max_map_count); what is above comes from the heap."""
TRIM_BYTES = 16 * 1024 * 1024
"""What may be free at the heap's end before it is given back: not after each message."""

ARENAS = 1
"""Heaps: one for each thread that writes to the database or checks a publish would keep what they once needed."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8


def map_large_blocks() -> None:
    """Set it up (mallopt(3)); nothing happens where the C library has no such thing."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    for parameter, value in (
        (_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES),
        (_M_MMAP_MAX, MOST_MAPPED),
        (_M_TRIM_THRESHOLD, TRIM_BYTES),
        (_M_ARENA_MAX, ARENAS),
    ):
        libc.mallopt(parameter, value)
