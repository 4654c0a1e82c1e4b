"""A shim's way from its order to its hypervisor: takes the directory, starts, reports, stays; `shim.py` does the rest.

It reports on a pipe: `started` when the hypervisor has been started and the control socket listens, else an exit code
and why (3: a shim, or a hypervisor without one, already holds the directory). A start that nobody waits for is undone.
"""

import os
import select

from worker.vmm.child import Child
from worker.vmm.order import ALREADY_HELD, FAILED, STARTED, Order
from worker.vmm.shim import Shim
from worker.vmm.shim_files import clear, hold, let_go, make_own_directory, runs_already


def hold_vm(order: Order, report: int, child: Child) -> int:
    """Hold one VM from its start to its end; in a process and a session of its own, whose exit code this is."""
    if _is_alone(report):
        return FAILED
    try:
        if problem := _hold(order):
            _tell(report, problem)
            return ALREADY_HELD
        if _is_alone(report):
            let_go(order.directory)
            return FAILED
        clear(order.directory)
        make_own_directory(order.directory, order.confinement)
        _go_on_alone(order.directory)
        shim = Shim(order, child)
        shim.start()
    except OSError as error:
        _tell(report, f"{FAILED} cannot start {order.command[0]}: {error.strerror or error}".encode())
        return FAILED
    if not _tell(report, STARTED):
        shim.give_up()
    os.close(report)
    shim.run()
    return 0


def _hold(order: Order) -> bytes:
    """Take the directory for this process's life; why not, else nothing."""
    if hold(order.directory) < 0:
        return f"{ALREADY_HELD} a shim already holds {order.directory}".encode()
    if runs_already(order.directory):
        return f"{ALREADY_HELD} a hypervisor whose shim has died still runs in {order.directory}".encode()
    return b""


def _go_on_alone(directory: str) -> None:
    """Nothing of whoever started us: our words go to a file of the VM's."""
    words = os.open(f"{directory}/shim.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.dup2(words, 2)
    os.close(words)


def _tell(report: int, words: bytes) -> bool:
    """Report; whether somebody still waits for it."""
    try:
        os.write(report, words)
    except OSError:
        return False
    return True


def _is_alone(report: int) -> bool:
    """Whether whoever ordered this does not wait any more."""
    asked = select.poll()
    asked.register(report, 0)
    return bool(asked.poll(0))
