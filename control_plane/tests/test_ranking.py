"""The lowest of many scores, however they change: the same answer as one look at all of them."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from control_plane.scheduler.ranking import KEPT_AFTER, Ranking, first_of

SCORES = st.sampled_from([-0.5, -0.25, 0.0, 0.5, 10.0, 1000.0, math.inf])


@given(st.lists(SCORES, max_size=12), st.lists(st.tuples(st.integers(0, 11), SCORES), max_size=3 * KEPT_AFTER))
def test_it_answers_as_one_look_at_all_scores_does(scores: list[float], changes: list[tuple[int, float]]) -> None:
    ranking = Ranking(np.array(scores, dtype=np.float64))
    for _ in range(KEPT_AFTER // 2):  # so that some changes come before it keeps anything, and some after
        assert ranking.first() == first_of(ranking.scores)
    for position, score in changes:
        if position < len(scores):
            ranking.set(position, score)
        assert ranking.first() == first_of(ranking.scores)


def test_of_equals_it_is_the_first_also_when_one_comes_back() -> None:
    ranking = Ranking(np.array([2.0, 1.0, 1.0]))
    for _ in range(KEPT_AFTER):
        assert ranking.first() == 1
    ranking.set(1, 3.0)
    assert ranking.first() == 2
    ranking.add(1, -2.0)
    assert ranking.first() == 1


def test_where_nothing_may_go_there_is_none() -> None:
    assert first_of(np.array([], dtype=np.float64)) is None
    ranking = Ranking(np.array([1.0, math.inf]))
    for _ in range(KEPT_AFTER):
        ranking.first()
    ranking.set(0, math.inf)
    assert ranking.first() is None
