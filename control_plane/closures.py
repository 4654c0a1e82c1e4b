"""Which closures must be kept by caches and workers, from a snapshot and the observations; it collects nothing."""

from control_plane.observations import Observations
from control_plane.state import Snapshot
from schema.status import LiveClosures


def live_closures(snapshot: Snapshot, observations: Observations) -> LiveClosures:
    """All that a kept generation names. Incomplete while something runs that no kept generation knows.

    Kept are the newest generations and those that are placed, last good or held (`plan._forgotten`).
    """
    specs = [spec for generation in snapshot.generations.values() for spec in generation.vms.values()]
    known = {spec.content_hash for spec in specs}
    strangers = any(
        vm.phase.has_process and vm.content_hash not in known
        for observed in observations.workers.values()
        for vm in observed.vms.values()
    )
    paths = {path for spec in specs for path in spec.value.closure_paths}
    return LiveClosures(paths=tuple(sorted(paths)), complete=not strangers)
