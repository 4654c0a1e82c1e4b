"""One builder per noun for the tests of CI."""

from ci_service.pipeline import PIPELINE
from schema.builds import Build, BuildState, PushNotice, Stage
from schema.origin import Origin
from schema.status import ClusterStatus, Convergence, GenerationStatus, RolloutState

SHA = "a" * 40


def a_notice(**changes: str) -> PushNotice:
    values = {
        "delivery": "00000000-0000-4000-8000-000000000001",
        "repository": "demo/example",
        "ref": "refs/heads/main",
        "old": "0" * 40,
        "new": SHA,
        "default_branch": "main",
    }
    return PushNotice(**(values | changes))


def a_build(**changes: object) -> Build:
    values: dict[str, object] = {
        "id": 1,
        "repository": "demo/example",
        "ref": "refs/heads/main",
        "commit": SHA,
        "state": BuildState.RUNNING,
        "stages": tuple(Stage(name=name) for name in PIPELINE),
        "created_at_ms": 1000,
    }
    return Build.model_validate(values | changes)


def an_origin(**changes: str) -> Origin:
    return Origin(**({"repository": "demo/example", "branch": "main"} | changes))


def a_generation(**changes: object) -> GenerationStatus:
    values: dict[str, object] = {
        "number": 1,
        "commit": SHA,
        "origin": an_origin(),
        "intent_hash": "b" * 64,
        "published_at_ms": 2000,
        "state": RolloutState.SUCCEEDED,
    }
    return GenerationStatus.model_validate(values | changes)


def a_status(*generations: GenerationStatus, origin: Origin | None = None) -> ClusterStatus:
    return ClusterStatus(
        time_ms=1, epoch="e", convergence=Convergence.CONVERGED, reason="", generations=generations, origin=origin
    )
