"""Where the tests find the example and the guest's parts."""

import os
from pathlib import Path

import trio

from nix.parts import make_parts

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "example"


async def parts() -> Path:
    """The guest's parts in the user's cache, made if they are not there yet. One process at a time makes them."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "procurator"
    await trio.to_thread.run_sync(lambda: cache.mkdir(parents=True, exist_ok=True))
    return await make_parts(cache)
