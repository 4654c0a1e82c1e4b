"""Python's collector of cycles, held back for a while; it makes and frees nothing itself.

A scan makes long lists of paths, none of which is in a cycle, and the collector would look at each again and again.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_back() -> Iterator[None]:
    """No cycles are collected in the block; of several blocks at once, until the first one ends."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
