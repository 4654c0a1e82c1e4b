"""Figures for Prometheus, in its own format and by its conventions; it decides nothing.

States are told as one series each, 0 or 1, so that an alert can ask for one by name. What the cluster is comes from the
status at the moment of the scrape; what happened is counted where it happens.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client import Counter as Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from control_plane.audit import Head
from schema.interfaces import Identity
from schema.status import ClusterStatus, Convergence, RolloutState, VmPhase, WorkerState

COMMIT_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """All figures of one control plane."""

    def __init__(self, *, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.rpc_calls: Counter[str] = Counter()
        self._version = version
        self._commits = Histogram(
            "procurator_commit_duration_seconds",
            "How long a commit of the store took.",
            buckets=COMMIT_SECONDS,
            registry=self.registry,
        )
        self._requests = Count(
            "procurator_commit_requests", "Requests that were carried by commits.", registry=self.registry
        )
        self._http = Count("procurator_http_requests", "Answers over HTTP.", ["route", "code"], registry=self.registry)

    def committed(self, seconds: float, requests: int) -> None:
        """A commit has returned. As `control_plane.authority.OnCommit`."""
        self._commits.observe(seconds)
        self._requests.inc(requests)

    def called(self, identity: Identity) -> None:
        """A session's call, allowed or not. It is counted without a lock: all calls come on one thread."""
        self.rpc_calls[identity.role] += 1

    def answered(self, route: str, status: int) -> None:
        """A request was answered; `route` is its name in the table, empty for none of them."""
        self._http.labels(route=route or "none", code=str(status)).inc()

    def watch(self, status: Callable[[], ClusterStatus], head: Callable[[], Head], streams: Callable[[], int]) -> None:
        """Tell of this cluster at every scrape."""
        self.registry.register(_OfCluster(self, status, head, streams, version=self._version))

    def text(self, accept: str) -> tuple[bytes, str]:
        """All of it for who accepts `accept`, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


class _OfCluster(Collector):
    def __init__(
        self,
        metrics: Metrics,
        status: Callable[[], ClusterStatus],
        head: Callable[[], Head],
        streams: Callable[[], int],
        *,
        version: str,
    ) -> None:
        self._metrics = metrics
        self._status = status
        self._head = head
        self._streams = streams
        self._version = version

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask for a status before there is one."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        yield InfoMetricFamily("procurator_build", "This program.", value={"version": self._version})
        yield from _cluster(self._status())
        yield from _audit(self._head())
        yield GaugeMetricFamily("procurator_event_streams", "Open streams of events.", value=self._streams())
        calls = CounterMetricFamily("procurator_rpc_calls", "Calls of sessions, by their role.", labels=["role"])
        for role, count in sorted(self._metrics.rpc_calls.items()):
            calls.add_metric([role], count)
        yield calls


def _cluster(status: ClusterStatus) -> Iterator[Metric]:
    yield _states(
        "procurator_convergence", "The word for the cluster.", Convergence, Counter([status.convergence.value])
    )
    yield _states(
        "procurator_workers", "Workers by state.", WorkerState, Counter(one.state.value for one in status.workers)
    )
    connected = sum(worker.connected for worker in status.workers)
    yield GaugeMetricFamily("procurator_workers_connected", "Workers with a connection.", value=connected)
    yield _states("procurator_vms", "Instances by phase.", VmPhase, Counter(one.phase.value for one in status.vms))
    yield GaugeMetricFamily("procurator_vms_healthy", "Healthy instances.", value=sum(vm.healthy for vm in status.vms))
    unplaced = sum(not vm.worker_id for vm in status.vms)
    yield GaugeMetricFamily("procurator_vms_unplaced", "Instances without a worker.", value=unplaced)
    drifted = sum(vm.drift for vm in status.vms)
    yield GaugeMetricFamily("procurator_vms_drifted", "Instances that run other content than assigned.", value=drifted)
    newest = status.newest
    number, published_ms = (newest.number, newest.published_at_ms) if newest else (0, 0)
    yield GaugeMetricFamily("procurator_generation", "The newest generation; 0 for none.", value=number)
    yield GaugeMetricFamily(
        "procurator_generation_published_timestamp_seconds", "When it was published.", value=published_ms / 1000
    )
    rollout = Counter([newest.state.value] if newest else [])
    yield _states("procurator_rollout_state", "The state of the newest generation's rollout.", RolloutState, rollout)


def _states(name: str, about: str, states: type[StrEnum], counts: Counter[str]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["state" if name != "procurator_vms" else "phase"])
    for state in states:
        family.add_metric([state.value], counts[state.value])
    return family


def _audit(head: Head) -> Iterator[Metric]:
    yield GaugeMetricFamily("procurator_audit_rows", "Rows of the audit.", value=head.rows)
    yield InfoMetricFamily("procurator_audit_head", "The hash of its last row.", value={"hash": head.hash})
