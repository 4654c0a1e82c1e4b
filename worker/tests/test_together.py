"""Two things at once: both answers, or the first failure with nothing left of the other."""

import pytest
import trio
from trio.testing import MockClock

from schema.errors import CommandFailed, Unavailable
from worker.together import together


async def after(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


async def fails(seconds: float) -> float:
    await trio.sleep(seconds)
    raise Unavailable(f"after {seconds:g}")


async def test_both_are_done_at_once(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    assert await together(lambda: after(3), lambda: after(2)) == (3, 2)
    assert trio.current_time() - began == 3


@pytest.mark.parametrize("is_first", [True, False])
async def test_one_that_fails_cancels_the_other_and_is_raised_alone(autojump_clock: MockClock, is_first: bool) -> None:
    undone: list[float] = []

    async def long() -> float:
        try:
            return await after(60)
        finally:
            undone.append(trio.current_time() - began)

    began = trio.current_time()
    with pytest.raises(Unavailable, match="after 2"):
        await (together(lambda: fails(2), long) if is_first else together(long, lambda: fails(2)))
    assert undone == [2]


async def test_of_two_that_fail_the_first_is_raised(autojump_clock: MockClock) -> None:
    async def refused() -> float:
        try:
            return await after(60)
        except trio.Cancelled:
            raise CommandFailed(argv=("x",), cwd=None, returncode=1, stdout=b"", stderr=b"") from None

    with pytest.raises(Unavailable, match="after 1"):
        await together(lambda: fails(1), refused)


async def test_who_is_cancelled_is_cancelled_with_both(autojump_clock: MockClock) -> None:
    with trio.move_on_after(2) as scope:
        await together(lambda: after(60), lambda: after(60))
    assert scope.cancelled_caught and trio.current_time() < 60
