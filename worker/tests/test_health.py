"""Checks over time become a verdict."""

from hypothesis import given
from hypothesis import strategies as st

from schema.blueprint import CheckType, Health, HealthCheck
from schema.status import View
from worker.health import CheckResult, Verdict, after_round, guest_checks, host_checks, next_round_ms, verdict
from worker.tests.builders import a_spec
from worker.vm_state import HealthState

POLICY = Health(failures=3, interval_ms=2000)
PASS, FAIL = (CheckResult(True, ""),), (CheckResult(False, "tcp 80: refused"),)


def rounds(*results: tuple[CheckResult, ...]) -> HealthState:
    state = HealthState()
    for result in results:
        state = after_round(state, result, policy=POLICY)
    return state


def said(state: HealthState) -> Verdict:
    return verdict([state], running_ms=10**6, min_healthy_ms=2000)


def test_before_the_first_pass_it_is_starting_and_shows_why() -> None:
    state = rounds(FAIL, FAIL, FAIL, FAIL)
    assert said(state) is Verdict.STARTING
    assert (state.view, state.detail) == (View.FAILING, "tcp 80: refused")


def test_one_pass_makes_it_healthy_and_a_row_of_failures_unhealthy() -> None:
    assert said(rounds(FAIL, PASS)) is Verdict.HEALTHY
    assert said(rounds(PASS, FAIL, FAIL)) is Verdict.HEALTHY
    assert said(rounds(PASS, FAIL, FAIL, FAIL)) is Verdict.UNHEALTHY
    assert said(rounds(PASS, FAIL, FAIL, FAIL, PASS)) is Verdict.HEALTHY


def test_all_checks_of_a_round_must_pass() -> None:
    assert said(rounds(PASS + FAIL)) is Verdict.STARTING


def test_without_checks_it_is_healthy_once_it_has_run_long_enough() -> None:
    assert verdict([], running_ms=1999, min_healthy_ms=2000) is Verdict.STARTING
    assert verdict([], running_ms=2000, min_healthy_ms=2000) is Verdict.HEALTHY


def test_checks_inside_the_guest_and_checks_without_a_nic_are_not_the_hosts() -> None:
    checks = (HealthCheck(type=CheckType.READINESS), HealthCheck(type=CheckType.HTTP, port=80, path="/"))
    assert [check.type for check in host_checks(a_spec(checks=checks))] == [CheckType.HTTP]
    assert host_checks(a_spec(checks=checks, nic=False)) == ()


def test_the_guests_own_checks_are_asked_with_or_without_a_nic() -> None:
    checks = (HealthCheck(type=CheckType.READINESS), HealthCheck(type=CheckType.COMMAND, command=("true",)))
    assert guest_checks(a_spec(checks=(*checks, HealthCheck(type=CheckType.TCP, port=1)), nic=False)) == checks


def test_host_and_guest_must_agree() -> None:
    def together(*views: HealthState) -> Verdict:
        return verdict(views, running_ms=10**6, min_healthy_ms=2000)

    assert together(rounds(PASS), rounds(PASS)) is Verdict.HEALTHY
    assert together(rounds(PASS), rounds(FAIL)) is Verdict.STARTING
    assert together(rounds(PASS), rounds(PASS, FAIL, FAIL, FAIL)) is Verdict.UNHEALTHY


def test_a_starting_vm_is_asked_more_often_than_one_that_has_passed() -> None:
    assert next_round_ms([HealthState()], POLICY, running_ms=0, min_healthy_ms=300) == 200
    assert next_round_ms([rounds(PASS)], POLICY, running_ms=0, min_healthy_ms=300) == 2000


def test_with_nobody_to_ask_a_vm_is_looked_at_as_soon_as_it_can_be_healthy() -> None:
    assert next_round_ms([], POLICY, running_ms=100.5, min_healthy_ms=300) == 200
    assert next_round_ms([], POLICY, running_ms=300, min_healthy_ms=300) == 2000


@given(st.lists(st.booleans(), max_size=30))
def test_it_is_never_unhealthy_with_fewer_failures_in_a_row_than_the_policy_says(answers: list[bool]) -> None:
    state = rounds(*(PASS if answer else FAIL for answer in answers))
    row = next((count for count, answer in enumerate(reversed(answers)) if answer), len(answers))
    expected = Verdict.STARTING if not any(answers) else Verdict.UNHEALTHY if row >= 3 else Verdict.HEALTHY
    assert said(state) is expected
