"""Have the guest switch to another System in place; what that takes on the host is not here."""

from schema.errors import DeadlineExceeded, Unavailable
from schema.names import printable
from worker.guest.channel import GuestChannel
from worker.switching import CannotSwitch, SwitchFailed

PROGRAM = "procurator-switch"
NO_DISK = "-"
"""In the place of a serial: the closure is mounted already."""
DEADLINE_MS = 120_000
"""The guest's script ends its services and starts others in it; then it is killed, and the VM counts as failed."""
SHOWN = 400
_NO_SUCH_COMMAND = (126, 127)


async def switch_system(guest: GuestChannel, *, serial: str, toplevel: str) -> None:
    """Run the guest's `procurator-switch`.

    Raises CannotSwitch (no agent answers, or it has no such program) and SwitchFailed (it is back where it was).
    """
    try:
        done = await guest.exec(PROGRAM, (serial, toplevel), deadline_ms=DEADLINE_MS)
    except (Unavailable, DeadlineExceeded) as error:
        raise CannotSwitch(f"the guest cannot be asked: {error.message}") from error
    words = " ".join(printable(done.stderr.decode(errors="replace")).split())[-SHOWN:]
    if done.exit_code in _NO_SUCH_COMMAND:
        raise CannotSwitch(f"the guest has no {PROGRAM}: {words}")
    if done.timed_out:
        raise CannotSwitch(f"the guest did not switch within {DEADLINE_MS // 1000} s")
    if done.exit_code != 0:
        raise SwitchFailed(f"the guest could not switch (exit code {done.exit_code}): {words}")
