"""From the answers of health checks over time to a verdict; it asks nobody."""

import math
from collections.abc import Sequence
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
    """The checks that the worker itself can ask, from outside of the guest."""
    if not spec.network.nic:
        return ()
    return tuple(check for check in spec.health.checks if check.type in (CheckType.TCP, CheckType.HTTP))


def guest_checks(spec: VmSpec) -> tuple[HealthCheck, ...]:
    """The checks that the guest answers, through its agent: a command of its own, or its word that it is ready."""
    return tuple(check for check in spec.health.checks if check.type in (CheckType.COMMAND, CheckType.READINESS))


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


def verdict(views: Sequence[HealthState], *, running_ms: float, min_healthy_ms: int) -> Verdict:
    """What those who are asked say together; all must agree.

    With nobody to ask a VM is healthy once it has run for `min_healthy_ms`.
    """
    if not views:
        return Verdict.HEALTHY if running_ms >= min_healthy_ms else Verdict.STARTING
    if not all(state.passed_once for state in views):
        return Verdict.STARTING
    return Verdict.HEALTHY if all(state.view is View.OK for state in views) else Verdict.UNHEALTHY


def next_round_ms(views: Sequence[HealthState], policy: Health, *, running_ms: float, min_healthy_ms: int) -> int:
    """Milliseconds until the checks are asked again; with nobody to ask, until it has run for `min_healthy_ms`."""
    if not views and running_ms < min_healthy_ms:
        return math.ceil(min_healthy_ms - running_ms)
    passed = all(state.passed_once for state in views)
    return policy.interval_ms if passed else min(policy.interval_ms, STARTING_INTERVAL_MS)
