"""From the answers of health checks over time to a verdict; it asks nobody."""

from dataclasses import dataclass, replace
from enum import StrEnum

from schema.blueprint import CheckType, Health, HealthCheck
from schema.status import View
from schema.vmspec import VmSpec
from worker.vm_state import HealthState

STARTING_INTERVAL_MS = 200
"""Before the first pass a VM is asked more often, so that a rollout does not wait for the interval."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One answer; `detail` says what was asked and what came."""

    passed: bool
    detail: str


class Verdict(StrEnum):
    """What the answers amount to."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


def host_checks(spec: VmSpec) -> tuple[HealthCheck, ...]:
    """The checks that the worker itself can ask; the others need the guest channel and are unknown until then."""
    if not spec.network.nic:
        return ()
    return tuple(check for check in spec.health.checks if check.type in (CheckType.TCP, CheckType.HTTP))


def after_round(state: HealthState, results: tuple[CheckResult, ...], *, policy: Health) -> HealthState:
    """The state after one round of all checks.

    One pass makes it pass; once it has passed, `policy.failures` failed rounds in a row make it fail.
    """
    failed = next((result for result in results if not result.passed), None)
    if failed is None:
        return HealthState(view=View.OK, failures=0, passed_once=True, detail="")
    failures = state.failures + 1
    fails = not state.passed_once or failures >= policy.failures
    return replace(state, view=View.FAILING if fails else state.view, failures=failures, detail=failed.detail)


def verdict(state: HealthState, *, has_checks: bool, running_ms: float, min_healthy_ms: int) -> Verdict:
    """Without checks a VM is healthy once it has run for `min_healthy_ms`; with checks, when they say so."""
    if not has_checks:
        return Verdict.HEALTHY if running_ms >= min_healthy_ms else Verdict.STARTING
    if not state.passed_once:
        return Verdict.STARTING
    return Verdict.HEALTHY if state.view is View.OK else Verdict.UNHEALTHY


def next_round_ms(state: HealthState, policy: Health) -> int:
    """Milliseconds until the checks are asked again."""
    return policy.interval_ms if state.passed_once else min(policy.interval_ms, STARTING_INTERVAL_MS)
