"""Collects the worker's store and images when that is due; what stays is decided in `retention`."""

import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from schema.errors import ProcuratorError
from schema.status import LiveClosures
from worker.closures import Closures
from worker.image import Images
from worker.retention import Due, Occasion, live_roots, occasion, unused_images

LOOK_SECONDS = 30.0
_MIB = 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection took away."""

    paths: int
    images: int
    image_bytes: int


class Collector:
    """Looks now and then whether a collection is due. `ask` answers what is live, and raises while nobody knows."""

    def __init__(
        self,
        *,
        closures: Closures,
        images: Images,
        in_use: Callable[[], Awaitable[frozenset[str]]],
        ask: Callable[[], Awaitable[LiveClosures]],
        state: Path,
        due: Due,
    ) -> None:
        self._closures = closures
        self._images = images
        self._in_use = in_use
        self._ask = ask
        self._state = state
        self.due = due
        self._asked = False
        self._wake = trio.Event()

    def request(self) -> None:
        """Collect as soon as can be."""
        self._asked = True
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. A collection that fails is tried again when the next one is due."""
        last = trio.current_time()
        while True:
            self._wake = trio.Event()
            with trio.move_on_after(min(LOOK_SECONDS, self.due.interval)):
                await self._wake.wait()
            why = occasion(self.due, now=trio.current_time(), last=last, free_mb=self._free_mb(), asked=self._asked)
            if why is None:
                continue
            self._asked = False
            try:
                await self._collect_for(why)
            except (ProcuratorError, OSError) as error:
                log.warning("nothing is collected (%s): %s", why, error)
            last = trio.current_time()

    async def _collect_for(self, why: Occasion) -> None:
        done = await self.collect(await self._ask())
        if done is None:
            log.warning("nothing is collected (%s): the control plane does not know all that must stay", why)
            return
        log.info(
            "collected (%s): %d paths, %d images of %d MiB; %d MiB are free",
            why,
            done.paths,
            done.images,
            done.image_bytes // _MIB,
            self._free_mb(),
        )

    async def collect(self, live: LiveClosures) -> Collected | None:
        """Take away what is not needed; None where `live` is not complete: then nothing may go."""
        self._closures.roots.restore()
        roots = live_roots(live, self._closures.files.present(live.paths))
        if roots is None:
            return None
        unused = unused_images(
            self._images.made_of(),
            in_use=await self._in_use(),
            kept_paths=roots | self._closures.roots.kept_paths(),
        )
        freed = [self._images.remove(name) for name in unused]
        paths = await self._closures.collect(roots)
        return Collected(paths, len(unused), sum(freed))

    def _free_mb(self) -> int:
        return shutil.disk_usage(self._state).free // _MIB
