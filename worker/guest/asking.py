"""Ask a guest the checks that only it can answer; what the answers amount to is `worker.health`'s."""

from collections.abc import Sequence

import trio

from schema.blueprint import CheckType, HealthCheck
from schema.errors import ProcuratorError
from schema.names import printable
from worker.guest.channel import GuestChannel
from worker.health import CheckResult

SHOWN = 200
"""Characters of what a failed command said."""


async def ask_guest(guest: GuestChannel, checks: Sequence[HealthCheck], *, timeout_ms: int) -> tuple[CheckResult, ...]:
    """The answers to command and readiness `checks`, all asked at once, each within `timeout_ms`."""
    answers: dict[int, CheckResult] = {}

    async def one(number: int, check: HealthCheck) -> None:
        answers[number] = await _ask(guest, check, timeout_ms=timeout_ms)

    async with trio.open_nursery() as nursery:
        for number, check in enumerate(checks):
            nursery.start_soon(one, number, check)
    return tuple(answers[number] for number in sorted(answers))


async def _ask(guest: GuestChannel, check: HealthCheck, *, timeout_ms: int) -> CheckResult:
    try:
        if check.type is CheckType.COMMAND and check.command:
            return await _command(guest, check.command, timeout_ms=timeout_ms)
        facts = await guest.facts(deadline=timeout_ms / 1000)
    except ProcuratorError as error:
        return CheckResult(False, f"{check.type}: {error.message}")
    return CheckResult(facts.ready, "readiness: the guest says that it is " + ("ready" if facts.ready else "not ready"))


async def _command(guest: GuestChannel, command: tuple[str, ...], *, timeout_ms: int) -> CheckResult:
    name = printable(command[0])[:SHOWN]
    done = await guest.exec(command[0], tuple(command[1:]), deadline_ms=timeout_ms)
    if done.timed_out:
        return CheckResult(False, f"command {name}: not done within {timeout_ms} ms")
    if done.exit_code == 0:
        return CheckResult(True, f"command {name}: passed")
    words = " ".join(printable((done.stderr or done.stdout).decode(errors="replace")).split())[:SHOWN]
    return CheckResult(False, f"command {name}: exit code {done.exit_code}" + (f": {words}" if words else ""))
