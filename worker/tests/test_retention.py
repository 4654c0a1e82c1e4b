"""When a store is collected, and what stays: decided from values alone."""

from schema.status import LiveClosures
from worker.retention import Due, Occasion, live_roots, occasion, unused_images

DUE = Due(interval=100.0, pressure_interval=10.0, min_free_mb=50)


def test_a_collection_is_due_on_schedule_under_pressure_and_when_asked() -> None:
    assert occasion(DUE, now=99.0, last=0.0, free_mb=60, asked=False) is None
    assert occasion(DUE, now=100.0, last=0.0, free_mb=60, asked=False) is Occasion.SCHEDULE
    assert occasion(DUE, now=10.0, last=0.0, free_mb=49, asked=False) is Occasion.PRESSURE
    assert occasion(DUE, now=1.0, last=0.0, free_mb=60, asked=True) is Occasion.ASKED


def test_pressure_that_stays_does_not_collect_without_a_pause() -> None:
    assert occasion(DUE, now=9.0, last=0.0, free_mb=1, asked=False) is None


def test_only_what_is_here_gets_a_root_and_without_the_whole_truth_nothing_may_go() -> None:
    live = LiveClosures(paths=("/nix/store/a", "/nix/store/b"))
    assert live_roots(live, {"/nix/store/b", "/nix/store/c"}) == frozenset({"/nix/store/b"})
    assert live_roots(live.model_copy(update={"complete": False}), {"/nix/store/a"}) is None


def test_an_image_goes_when_it_is_neither_in_use_nor_made_of_what_is_kept() -> None:
    made_of = {"a": ("p", "q"), "b": ("p",), "c": (), "d": ("x",), "e": ()}
    assert unused_images(made_of, in_use={"d", "e"}, kept_paths={"p"}) == ("a", "c")
