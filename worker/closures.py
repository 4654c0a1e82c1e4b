"""Closures in the worker's own chroot store: pulled with signatures required, verified, kept by root links, collected.

It chooses no content, and not what is kept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from nix.commands import collect_garbage, copy_from_cache, path_info, verify_signatures
from nix.environment import NixEnvironment
from nix.log import Event
from nix.result import PathInfo
from schema.errors import BadSignature, CommandFailed, NotFound, ProcuratorError, Unavailable
from schema.status import PullProgress
from worker.chroot import Chroot
from worker.pull_progress import Progress
from worker.roots import Roots

ASK_SECONDS = 60.0
"""Deadline of a question to the local store."""
COLLECT_SECONDS = 600.0
OnProgress = Callable[[PullProgress], None]
_UNSIGNED = ("lacks a valid signature", "lacks a signature by a trusted key", "is untrusted")


@dataclass(frozen=True, slots=True)
class _Collection:
    """One that is under way. `safe`: what was valid and had its roots when it began."""

    safe: frozenset[frozenset[str]]
    ended: trio.Event = field(default_factory=trio.Event)


class Closures:
    """The store at `root` (`local?root=<root>`), filled from `caches` in order.

    Never the host's store: a path that is already valid there would pass without its signature being looked at.
    `keys` are the pinned public keys in nix's `name:base64` format.
    """

    def __init__(self, nix: NixEnvironment, *, root: Path, caches: Sequence[str], keys: Sequence[str]) -> None:
        self._nix = nix
        self._root = root
        self._caches = tuple(caches)
        self._keys = tuple(keys)
        self.roots = Roots(root)
        self.files = Chroot(root)
        self._copying = trio.Lock()
        self._collecting = trio.Lock()
        self._waiting: list[tuple[frozenset[str], OnProgress]] = []
        self._valid: set[frozenset[str]] = set()
        self._collection: _Collection | None = None
        self._collections = 0  # counts their beginnings and their ends
        self._signed: set[frozenset[str]] = set()

    async def pull(
        self, paths: Sequence[str], *, deadline: float, on_progress: OnProgress = lambda _progress: None
    ) -> None:
        """Make the closures of `paths` valid here; only what is missing crosses the network.

        One copy at a time, which takes along what others wait for: two nix (2.8) that want the same path of a store
        fail each other, and what they share would be fetched twice. Each cache gets `deadline` seconds. `on_progress`
        hears how far the copy is that takes them along. What a collection under way may take is looked at again when
        that has ended. Raises BadSignature when a path is not signed by a pinned key, Unavailable when no cache had it
        whole; what was pulled so far stays for the next try.
        """
        waiting = (frozenset(paths), on_progress)
        self._waiting.append(waiting)
        try:
            if await self._is_valid(paths) and not self._may_be_collected(paths):
                return
            async with self._copying:
                await self._copy_until_valid(paths, deadline=deadline)
        finally:
            self._waiting.remove(waiting)

    async def _copy_until_valid(self, paths: Sequence[str], *, deadline: float) -> None:
        while True:
            begun = self._collections
            if not await self._is_valid(paths):
                await self._copy_with_others(paths, deadline=deadline)
            if self._collection is not None and self._may_be_collected(paths):
                await self._collection.ended.wait()
            elif begun == self._collections:
                self._valid.add(frozenset(paths))  # as nix itself has just said
                return  # else one that has ended meanwhile may have taken what the copy found here already

    def _may_be_collected(self, paths: Sequence[str]) -> bool:
        """Whether a collection under way took no notice of these: nix (2.8) skips a root of what is not valid yet."""
        return self._collection is not None and frozenset(paths) not in self._collection.safe

    async def _copy_with_others(self, paths: Sequence[str], *, deadline: float) -> None:
        together = sorted(set().union(*(wanted for wanted, _ in self._waiting)))
        if len(together) > len(set(paths)):
            try:
                await self._copy(together, deadline=deadline)
            except ProcuratorError:
                pass  # whose fault that was shows when each is copied alone
            else:
                return
        await self._copy(paths, deadline=deadline)

    def _teller(self, paths: Sequence[str]) -> Callable[[Event], None]:
        """Tells everyone whose paths this copy takes along how far it is."""
        progress, taken = Progress(), frozenset(paths)

        def tell(event: Event) -> None:
            now = progress.take(event)
            for wanted, on_progress in self._waiting if now else ():
                if now and wanted <= taken:
                    on_progress(now)

        return tell

    async def _copy(self, paths: Sequence[str], *, deadline: float) -> None:
        failures: list[ProcuratorError] = []
        for cache in self._caches:
            try:
                await copy_from_cache(
                    self._nix,
                    paths,
                    cache=cache,
                    store=self._root,
                    trusted_keys=self._keys,
                    deadline=deadline,
                    on_event=self._teller(paths),
                )
            except ProcuratorError as error:
                failures.append(_told(error, cache))
            else:
                return
        refused = next((failure for failure in failures if isinstance(failure, BadSignature)), None)
        raise refused or Unavailable("; ".join(failure.message for failure in failures) or "no cache is configured")

    async def _is_valid(self, paths: Sequence[str]) -> bool:
        """Asked of nix: an interrupted pull leaves folders in the store that are no valid paths."""
        if not (self._root / "nix/var/nix/db").is_dir():
            return False
        if frozenset(paths) in self._valid and self.files.present(paths) >= frozenset(paths):
            return True
        begun = self._collections
        try:
            known = await path_info(self._nix, paths, deadline=ASK_SECONDS, store=self._root)
        except CommandFailed:
            return False
        if begun != self._collections:
            return False  # the answer may be older than what has been taken away since
        valid = all(known.get(path) for path in paths) and all(known.values())
        (self._valid.add if valid else self._valid.discard)(frozenset(paths))
        return valid

    async def closure(self, paths: Sequence[str]) -> Mapping[str, PathInfo]:
        """Everything that `paths` refer to, by path. Raises NotFound where something of it is not valid here."""
        known = await path_info(self._nix, paths, deadline=ASK_SECONDS, store=self._root)
        missing = [path for path, info in known.items() if info is None]
        if missing:
            raise NotFound(f"not in this worker's store: {', '.join(missing[:3])}")
        return {path: info for path, info in known.items() if info is not None}

    async def verify(self, paths: Sequence[str]) -> None:
        """Check the closures' signatures against the keys that are pinned now. Raises BadSignature.

        Those keys are the same for as long as this process runs: what it has found signed, and has not collected since,
        is not asked for again.
        """
        if frozenset(paths) in self._signed and self.files.present(paths) >= frozenset(paths):
            return
        begun = self._collections
        try:
            await verify_signatures(self._nix, paths, store=self._root, trusted_keys=self._keys, deadline=ASK_SECONDS)
        except CommandFailed as error:
            raise BadSignature(f"the closure of {paths[0]} is not signed by a pinned key: {_tail(error)}") from error
        if begun == self._collections:
            self._signed.add(frozenset(paths))

    async def collect(self, live: Iterable[str]) -> int:
        """Delete what neither the instances' roots nor `live` reach; how many paths that were.

        One at a time. What an instance needs has its root before its pull begins, and a pull ends when no collection
        that overlooked that root is under way.
        """
        async with self._collecting:
            self.roots.keep_live({Path(path).name: path for path in live})
            kept = self.roots.kept_paths()
            self._collections += 1
            self._collection = under_way = _Collection(frozenset(known for known in self._valid if known <= kept))
            try:
                return await collect_garbage(self._nix, deadline=COLLECT_SECONDS, store=self._root)
            finally:
                self._collections += 1
                self._valid.clear()
                self._signed.clear()
                self._collection = None
                under_way.ended.set()


def _tail(error: CommandFailed) -> str:
    lines = [line.strip() for line in error.stderr.decode(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-600:] or f"exit code {error.returncode}"


def _told(error: ProcuratorError, cache: str) -> ProcuratorError:
    if not isinstance(error, CommandFailed):
        return Unavailable(f"{cache}: {error.message}")
    text = _tail(error)
    if any(sign in error.stderr.decode(errors="replace") for sign in _UNSIGNED):
        return BadSignature(f"{cache}: {text}")
    return Unavailable(f"{cache}: {text}")
