"""Collecting a real store: what an instance or the control plane needs stays, the rest goes."""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from nix.environment import NixEnvironment
from schema.errors import NotFound, Unavailable
from schema.status import LiveClosures, PullProgress
from worker.closures import Closures
from worker.collector import Collector
from worker.image import Images
from worker.retention import Due
from worker.tests.real_nix import KEY, NIX, Publisher


class Shelf:
    """A worker's store and images below a folder, filled from a real cache."""

    def __init__(self, root: Path) -> None:
        self.publisher = Publisher(root)
        nix = NixEnvironment(root / "w-nix").write()
        self.closures = Closures(nix, root=root / "w", caches=[self.publisher.url], keys=[str(KEY.public)])
        (root / "images").mkdir()
        self.images = Images(root / "images", physical=self.closures.files.physical)
        self.in_use: frozenset[str] = frozenset()
        self.live = LiveClosures(paths=())
        self.away = False
        self.asked = trio.Event()
        self.collector = Collector(
            closures=self.closures,
            images=self.images,
            in_use=self._in_use,
            ask=self._ask,
            state=root,
            due=Due(interval=1000.0, min_free_mb=0),
        )

    async def _in_use(self) -> frozenset[str]:
        return self.in_use

    async def _ask(self) -> LiveClosures:
        if self.away:
            raise Unavailable("the control plane is away")
        self.asked.set()
        return self.live

    async def pulled(self, text: str) -> str:
        outer, _ = self.publisher.a_text_closure(text)
        self.publisher.publish(outer)
        await self.closures.pull([outer], deadline=120)
        await self.images.image_of(await self.closures.closure([outer]), of=[outer])
        return outer

    async def has(self, path: str) -> bool:
        try:
            return bool(await self.closures.closure([path]))
        except NotFound:
            return False


async def test_what_an_instance_has_or_the_control_plane_calls_live_stays_and_the_rest_goes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    mine, live, old = [await shelf.pulled(text) for text in ("mine", "live", "old")]
    shelf.closures.roots.keep("web-0", {"active": [mine]})
    done = await shelf.collector.collect(LiveClosures(paths=(live, "/nix/store/" + "0" * 32 + "-elsewhere")))
    assert done is not None
    assert (done.paths, done.images) == (2, 1)
    assert [await shelf.has(path) for path in (mine, live, old)] == [True, True, False]
    assert len(shelf.images.made_of()) == 2
    again = await shelf.collector.collect(LiveClosures(paths=()))
    assert again is not None
    assert [await shelf.has(path) for path in (mine, live)] == [True, False]


async def test_a_root_that_somebody_took_away_is_put_back_before_anything_is_collected(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    mine, other = [await shelf.pulled(text) for text in ("mine", "other")]
    shelf.closures.roots.keep("web-0", {"active": [mine]})
    shelf.closures.roots.keep("db-0", {"active": [other]})
    shelf.closures.roots.keep("db-0", {})
    shutil.rmtree(tmp_path / "w/nix/var/nix/gcroots/procurator")
    await shelf.collector.collect(LiveClosures(paths=()))
    assert [await shelf.has(path) for path in (mine, other)] == [True, False]
    assert len(shelf.images.made_of()) == 1


async def test_an_image_that_a_process_has_as_its_disk_stays_whatever_the_roots_say(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    await shelf.pulled("running")
    shelf.in_use = frozenset(shelf.images.made_of())
    done = await shelf.collector.collect(LiveClosures(paths=()))
    assert done is not None
    assert done.images == 0
    assert len(shelf.images.made_of()) == 1


async def test_without_the_control_planes_word_nothing_goes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    path = await shelf.pulled("old")
    assert await shelf.collector.collect(LiveClosures(paths=(), complete=False)) is None
    shelf.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shelf.collector.run)
        shelf.collector.request()
        await trio.sleep(0.2)
        assert await shelf.has(path)
        shelf.away = False
        shelf.collector.request()
        with trio.fail_after(60):
            await shelf.asked.wait()
            await until_gone(shelf, path)
        nursery.cancel_scope.cancel()


async def until_gone(shelf: Shelf, path: str) -> None:
    while await shelf.has(path):  # noqa: ASYNC110 - a store tells no event
        await trio.sleep(0.1)


async def test_a_pull_tells_how_far_it_is(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    outer, _ = shelf.publisher.a_text_closure("told")
    shelf.publisher.publish(outer)
    told: list[PullProgress] = []
    await shelf.closures.pull([outer], deadline=30, on_progress=told.append)
    assert (told[-1].paths_done, told[-1].paths_total) == (2, 2)
    assert [one.paths_done for one in told] == sorted(one.paths_done for one in told)


async def test_a_pull_during_a_collection_is_whole_afterwards(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    paths = [shelf.publisher.a_text_closure(f"text {number}")[0] for number in range(4)]
    shelf.publisher.publish(*paths)
    for number, path in enumerate(paths):
        shelf.closures.roots.keep(f"web-{number}", {"assigned": [path]})
    whole: dict[str, bool] = {}

    async def pull(path: str) -> None:
        await shelf.closures.pull([path], deadline=60)
        whole[path] = await shelf.has(path)

    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(pull, path)
        for _ in range(6):
            await shelf.collector.collect(LiveClosures(paths=()))
    assert whole == dict.fromkeys(paths, True)
    for path in paths:
        assert await shelf.has(path)


async def test_a_pull_whose_root_came_after_a_collection_began_waits_for_its_end(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    path = await shelf.pulled("old")
    begun = trio.Event()

    async def collect() -> None:
        begun.set()
        await shelf.closures.collect(())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        await begun.wait()
        await trio.testing.wait_all_tasks_blocked()
        shelf.closures.roots.keep("web-0", {"assigned": [path]})
        await shelf.closures.pull([path], deadline=60)
        assert await shelf.has(path)
    assert await shelf.has(path)


SLOW_NIX = """#!/bin/sh
wait_for() { while [ ! -e "$home/$1" ]; do sleep 0.02; done; }
home={home}
case "$*" in
path-info*) found=$({nix} "$@") || exit; : >"$home/known"; wait_for answer; printf %s "$found" ;;
"store gc"*) : >"$home/collecting"; wait_for known; exec {nix} "$@" ;;
*) exec {nix} "$@" ;;
esac
"""


class SlowNix(NixEnvironment):
    """Whose answers wait for each other."""

    @property
    def env(self) -> Mapping[str, str]:
        return {**super().env, "PATH": f"{self.state}:{os.environ['PATH']}"}


async def test_what_nix_knew_before_a_collection_ended_is_asked_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    path = await shelf.pulled("old")
    programs = tmp_path / "slow"
    nix = SlowNix(programs).write()
    (programs / "nix").write_text(SLOW_NIX.replace("{home}", str(programs)).replace("{nix}", NIX))
    (programs / "nix").chmod(0o755)
    again = Closures(nix, root=tmp_path / "w", caches=[shelf.publisher.url], keys=[str(KEY.public)])

    async def collect() -> None:
        assert await again.collect(()) == 2
        (programs / "answer").touch()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect)
            while not (programs / "collecting").exists():  # noqa: ASYNC110 - another process makes it
                await trio.sleep(0.02)
            nursery.start_soon(partial(again.pull, [path], deadline=120))
    assert await shelf.has(path)


@pytest.mark.parametrize("name", ["x.erofs", "../escape"])
def test_an_image_that_is_not_there_frees_nothing(tmp_path: Path, name: str) -> None:
    assert Shelf(tmp_path).images.remove(name) == 0
