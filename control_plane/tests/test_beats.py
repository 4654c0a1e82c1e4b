"""Workers that report together once do not do so for long, and none is asked for more often than now and then."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from control_plane.liveness.beats import next_beat_ms

INTERVAL = 10_000


def test_a_fleet_that_began_at_once_is_spread_evenly_within_two_intervals() -> None:
    moments = []
    for number in range(3000):
        now = 123_456
        for _ in range(2):
            now += next_beat_ms(f"worker-{number}", now_ms=now, interval_ms=INTERVAL)
        moments.append(now % INTERVAL // 100)
    busiest = Counter(moments).most_common(1)[0][1]
    assert busiest < 3 * 3000 / 100


@given(st.text(min_size=1), st.integers(0, 10**13), st.integers(100, 600_000), st.integers(-5, 5))
def test_who_comes_on_time_or_nearly_comes_once_an_interval(worker: str, now: int, interval: int, late: int) -> None:
    first = next_beat_ms(worker, now_ms=now, interval_ms=interval)
    assert 1 <= first <= interval
    then = now + first + max(late, -first)
    again = next_beat_ms(worker, now_ms=then, interval_ms=interval)
    assert interval - 10 <= again <= interval or first == interval or interval < 1000
