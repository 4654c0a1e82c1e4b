"""Run one command in a guest through the control plane; it prints nothing."""

import trio

from cli.session import control_plane, run_command
from cli.settings import Target
from schema.errors import DeadlineExceeded
from schema.interfaces import ExecResult, Role

ANSWER_SECONDS = 15.0
"""Beyond the command's own time."""


def execute_in(target: Target, instance: str, words: tuple[str, ...], *, stdin: bytes, timeout: float) -> ExecResult:
    """The end of `words` in `instance`. Raises what the control plane and the worker answer, and DeadlineExceeded."""

    async def ask() -> ExecResult:
        with trio.move_on_after(timeout + ANSWER_SECONDS):
            async with control_plane(target, Role.OPERATOR) as master:
                vm = await master.get_vm(instance)
                limit_ms = max(1, int(timeout * 1000))
                return await vm.exec(words[0], words[1:], stdin=stdin, deadline_ms=limit_ms)
        raise DeadlineExceeded(f"{instance}: no answer within {timeout + ANSWER_SECONDS:g} s")

    return run_command(ask)


def shown_exit_code(code: int) -> int:
    """An exit code as a shell has it: 128 and the signal's number where a signal ended the command."""
    return 128 - code if code < 0 else code & 0xFF
