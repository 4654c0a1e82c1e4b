"""Ask a VM's tcp and http checks from the host's namespace; what the answers amount to is `worker.health`'s."""

import os
import re
from collections.abc import Sequence
from typing import assert_never

import trio

from schema.blueprint import CheckType, HealthCheck
from worker.health import CheckResult

HOLD_SECONDS = 0.1
"""How long a silent connection must stay open: a forwarder accepts before its guest listens, and then hangs up."""
MAX_HEAD_BYTES = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r\n]")


async def ask(checks: Sequence[HealthCheck], *, address: str, timeout_ms: int) -> tuple[CheckResult, ...]:
    """The answers to tcp and http `checks` of the VM at `address`, all asked at once, each within `timeout_ms`."""
    answers: dict[int, CheckResult] = {}

    async def one(number: int, check: HealthCheck) -> None:
        answers[number] = await _ask(check, address=address, timeout_ms=timeout_ms)

    async with trio.open_nursery() as nursery:
        for number, check in enumerate(checks):
            nursery.start_soon(one, number, check)
    return tuple(answers[number] for number in sorted(answers))


async def _ask(check: HealthCheck, *, address: str, timeout_ms: int) -> CheckResult:
    port = check.port or 0
    with trio.move_on_after(timeout_ms / 1000):
        match check.type:
            case CheckType.TCP:
                return await _tcp(address, port)
            case CheckType.HTTP:
                return await _http(address, port, check.path or "/")
            case CheckType.COMMAND | CheckType.READINESS:
                return CheckResult(False, f"{check.type} needs the guest channel")
            case _:
                assert_never(check.type)
    return CheckResult(False, f"{check.type} {port}: no answer within {timeout_ms} ms")


async def _tcp(address: str, port: int) -> CheckResult:
    try:
        stream = await trio.open_tcp_stream(address, port)
    except OSError as error:
        return CheckResult(False, f"tcp {port}: {_why(error)}")
    async with stream:
        said: bytes | None = None
        try:
            with trio.move_on_after(HOLD_SECONDS):
                said = bytes(await stream.receive_some(1))
        except trio.BrokenResourceError:
            said = b""
        if said == b"":
            return CheckResult(False, f"tcp {port}: accepted and hung up")
        return CheckResult(True, f"tcp {port}: open")


async def _http(address: str, port: int, path: str) -> CheckResult:
    """One request by hand: only the status line is of interest, and a client's set-up would cost more than the rest."""
    asked = f"http {port}{path}"
    request = f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nUser-Agent: procurator\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        async with await trio.open_tcp_stream(address, port) as stream:
            await stream.send_all(request.encode())
            while len(answer) < MAX_HEAD_BYTES:
                answer += (part := bytes(await stream.receive_some(4096)))
                status = _final_status(answer)
                if status is not None:
                    return CheckResult(200 <= status < 400, f"{asked}: answered {status}")
                if not part:
                    break
    except (OSError, trio.BrokenResourceError) as error:
        return CheckResult(False, f"{asked}: {_why(error)}")
    return CheckResult(False, f"{asked}: no HTTP answer")


def _final_status(answer: bytes) -> int | None:
    """The status of the first answer that is not informational (1xx), once its line is there."""
    while (found := _STATUS_LINE.match(answer)) is not None:
        status = int(found[1])
        if status >= 200:
            return status
        _, end, answer = answer.partition(b"\r\n\r\n")
        if not end:
            return None
    return None


def _why(error: BaseException) -> str:
    """The reason in the system's words: trio and httpx wrap it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__ or cause.__context__
    return str(error)[:200] or type(error).__name__
