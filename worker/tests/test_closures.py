"""Closures come from real caches by real nix, and only with a signature by a pinned key."""

from pathlib import Path

import pytest
import trio

from nix.environment import NixEnvironment
from schema.errors import BadSignature, InvalidInput, NotFound, Unavailable
from worker.closures import Closures
from worker.tests.ill_cache import Ailment, an_ill_cache
from worker.tests.real_nix import KEY, OTHER_KEY, Publisher


def a_store(tmp_path: Path, *caches: str, keys: tuple[str, ...] = (str(KEY.public),), name: str = "w") -> Closures:
    nix = NixEnvironment(tmp_path / f"{name}-nix").write()
    return Closures(nix, root=tmp_path / name, caches=caches, keys=keys)


async def test_a_closure_is_pulled_whole_into_the_workers_own_store(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, inner = publisher.a_text_closure()
    publisher.publish(outer)
    store = a_store(tmp_path, publisher.url)
    await store.pull([outer], deadline=120)
    await store.verify([outer])
    assert set(await store.closure([outer])) == {outer, inner}
    assert store.files.physical(inner).read_text() == "hello"


async def test_what_is_valid_here_already_needs_no_cache(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, _ = publisher.a_text_closure()
    publisher.publish(outer)
    await a_store(tmp_path, publisher.url).pull([outer], deadline=120)
    await a_store(tmp_path, "file:///nowhere").pull([outer], deadline=120)


async def test_a_path_that_another_key_signed_is_refused(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, _ = publisher.a_text_closure()
    publisher.publish(outer, key=OTHER_KEY)
    store = a_store(tmp_path, publisher.url)
    with pytest.raises(BadSignature, match="signature"):
        await store.pull([outer], deadline=120)
    with pytest.raises(NotFound):
        await store.closure([outer])


async def test_a_nar_that_was_tampered_with_is_refused_and_a_second_cache_is_tried(tmp_path: Path) -> None:
    bad, good = Publisher(tmp_path / "bad"), Publisher(tmp_path / "good")
    for publisher in (bad, good):
        outer, inner = publisher.a_text_closure("a text that is long enough")
        publisher.publish(outer)
    for nar in (bad.cache / "nar").iterdir():
        nar.write_bytes(nar.read_bytes().replace(b"long enough", b"l0ng enough"))
    store = a_store(tmp_path, bad.url)
    with pytest.raises(Unavailable, match="hash mismatch"):
        await store.pull([outer], deadline=120)
    await a_store(tmp_path, bad.url, good.url).pull([outer], deadline=120)
    assert store.files.physical(inner).read_text() == "a text that is long enough"


async def test_of_several_that_are_pulled_at_once_a_bad_one_does_not_fail_the_others(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    good = [publisher.a_text_closure(text)[0] for text in ("one", "two")]
    missing = publisher.a_text_closure("three")[0]
    publisher.publish(*good)
    store = a_store(tmp_path, publisher.url)
    failed: list[str] = []

    async def pull(path: str) -> None:
        try:
            await store.pull([path], deadline=120)
        except Unavailable:
            failed.append(path)

    async with trio.open_nursery() as nursery:
        for path in (missing, *good):
            nursery.start_soon(pull, path)
    assert failed == [missing]
    assert set(await store.closure(good)) >= set(good)


async def test_an_absent_cache_is_a_passing_trouble_that_names_it(tmp_path: Path) -> None:
    outer, _ = Publisher(tmp_path).a_text_closure()
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9"):
        await a_store(tmp_path, "http://127.0.0.1:9").pull([outer], deadline=120)


async def test_a_key_that_is_not_pinned_any_more_stops_the_next_boot(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, _ = publisher.a_text_closure()
    publisher.publish(outer)
    await a_store(tmp_path, publisher.url).pull([outer], deadline=120)
    with pytest.raises(BadSignature, match="not signed by a pinned key"):
        await a_store(tmp_path, publisher.url, keys=(str(OTHER_KEY.public),)).verify([outer])


async def test_roots_are_exactly_those_of_the_instances_roles(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, inner = publisher.a_text_closure()
    publisher.publish(outer)
    store = a_store(tmp_path, publisher.url)
    store.roots.keep("web-0", {"active": [outer], "fallback": [inner]})
    await store.pull([outer], deadline=120)
    names = {f"active-{Path(outer).name}", f"fallback-{Path(inner).name}"}
    assert {name for names in store.roots.kept().values() for name in names} == names
    publisher.run("store", "gc", "--store", f"local?root={tmp_path / 'w'}")
    assert await store.closure([outer])
    store.roots.keep("web-0", {})
    assert store.roots.kept() == {}
    publisher.run("store", "gc", "--store", f"local?root={tmp_path / 'w'}")
    with pytest.raises(NotFound):
        await store.closure([outer])


async def test_links_are_followed_inside_the_store_and_never_out_of_it(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    kernel = publisher.a_folder("kernel", {"boot/bzImage": "kernel"})
    files = {
        "kernel": f"-> {kernel}/boot/bzImage",
        "boot": f"-> {kernel}/boot",
        "near": "-> sub/../kernel",
        "sub/file": "x",
        "out": "-> /etc/passwd",
        "up": "-> ../../../etc/passwd",
        "loop": "-> loop",
        "nowhere": "-> nothing",
    }
    toplevel = publisher.a_folder("toplevel", files)
    publisher.publish(toplevel, kernel)
    store = a_store(tmp_path, publisher.url)
    await store.pull([toplevel, kernel], deadline=120)
    for name in ("kernel", "boot/bzImage", "near"):
        assert store.files.file(f"{toplevel}/{name}").read_text() == "kernel"
    for name in ("out", "up", "loop"):
        with pytest.raises(InvalidInput):
            store.files.file(f"{toplevel}/{name}")
    with pytest.raises(NotFound):
        store.files.file(f"{toplevel}/nowhere")


async def test_a_cache_that_is_overloaded_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, _ = publisher.a_text_closure()
    publisher.publish(outer)
    ailment = Ailment(refusals=2)
    with an_ill_cache(publisher.cache, ailment) as url:
        await a_store(tmp_path, url).pull([outer], deadline=120)
    assert ailment.refusals == 0


async def test_a_nar_that_ends_too_soon_is_refused_and_the_second_cache_has_it(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, inner = publisher.a_text_closure("a text that is long enough")
    publisher.publish(outer)
    with an_ill_cache(publisher.cache, Ailment(cut=True)) as url:
        with pytest.raises(Unavailable, match=url):
            await a_store(tmp_path, url).pull([outer], deadline=120)
        store = a_store(tmp_path, url, publisher.url)
        await store.pull([outer], deadline=120)
    assert store.files.physical(inner).read_text() == "a text that is long enough"


async def test_a_cache_that_falls_silent_costs_its_deadline_and_not_the_pull(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    outer, _ = publisher.a_text_closure("a text that is long enough")
    publisher.publish(outer)
    with an_ill_cache(publisher.cache, Ailment(silent=True)) as url:
        store = a_store(tmp_path, url, publisher.url)
        await store.pull([outer], deadline=8)
    assert await store.closure([outer])
