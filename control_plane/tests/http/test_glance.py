"""A status that is dear to make is made rarely, a cheap one for everybody."""

from control_plane.http.glance import Glance
from schema.status import ClusterStatus, Convergence


class Cluster:
    def __init__(self, *, takes: float) -> None:
        self.takes = takes
        self.now = 100.0
        self.made = 0

    def status(self) -> ClusterStatus:
        self.made += 1
        self.now += self.takes
        return ClusterStatus(time_ms=self.made, epoch="e", convergence=Convergence.CONVERGED, reason="")


def test_a_dear_status_takes_a_third_of_the_time_at_most() -> None:
    cluster = Cluster(takes=0.5)
    glance = Glance(cluster.status, seconds=lambda: cluster.now)
    for _ in range(10_000):
        glance()
        cluster.now += 0.001
    assert cluster.made * 0.5 <= (cluster.now - 100.0) / 3 + 0.5


def test_a_status_that_costs_nothing_is_made_for_each() -> None:
    cluster = Cluster(takes=0.0)
    glance = Glance(cluster.status, seconds=lambda: cluster.now)
    assert [glance().time_ms for _ in range(3)] == [1, 2, 3]
