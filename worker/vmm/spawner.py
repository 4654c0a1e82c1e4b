"""Forks the shims of one worker from a process that has everything loaded; it holds no VM and outlives nobody.

A shim is forked before there is an order for it: this spare one, with a child that is to be its hypervisor, waits for
the next order itself, and another is forked as soon as it has that.

A program of its own, run by `shims.py` as `python -I -S spawner.py MODULES ROOM`: a Python that is loaded once costs
each VM a fork and the pages it changes, in the place of a start of Python and of all its pages. Its standard input is
a socket (SOCK_SEQPACKET) on which each message is an order for one shim (`order.py`), with the writing end of a pipe
beside it, on which that shim reports. It ends when the other end of the socket is gone, as the worker is; the shims,
in sessions of their own, go on. MODULES are our own hypervisors' (`programs.py`), separated by commas: a shim whose
hypervisor is one of them calls it instead of executing Python anew.
"""

import gc
import importlib
import os
import select
import signal
import socket
import sys

if __name__ == "__main__":  # isolated (-I), so that our own package is not on the path
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120 - pathlib costs memory beside every VM
from worker.vmm.child import Child
from worker.vmm.forked import API_DESCRIPTOR, SPARE, die_alone, die_with, receive, retitle
from worker.vmm.holding import hold_vm
from worker.vmm.order import Order

PAUSE_SECONDS = 0.03
"""About as long as a start takes."""


def serve(channel: socket.socket) -> None:
    """Always have a spare shim, until nobody can send orders any more."""
    spawner = os.getpid()
    while not _waits(channel, seconds=0.0) & select.POLLHUP:
        taken, theirs = os.pipe2(os.O_CLOEXEC)
        if os.fork() == 0:
            os.close(taken)
            _be_shim(channel, theirs, spawner)
        os.close(theirs)
        os.read(taken, 1)  # it has an order, or has ended
        os.close(taken)
        # The start that has begun goes before our next fork, unless the next order is there already.
        _waits(channel, seconds=PAUSE_SECONDS)


def _waits(channel: socket.socket, *, seconds: float) -> int:
    """What the channel has for us within that time: an order (POLLIN), or nobody at the other end (POLLHUP)."""
    asked = select.poll()
    asked.register(channel, select.POLLIN)
    return sum(events for _, events in asked.poll(seconds * 1000))


def _be_shim(channel: socket.socket, taken: int, spawner: int) -> None:
    """In the child; it never returns. What goes wrong unforeseen is in `shim.log`, once there is one."""
    code = 1
    try:
        die_with(spawner)
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        retitle([SPARE])
        child = Child()
        message, descriptors = receive(channel, most=1)
        if message:
            code = _obey(Order.from_text(message.decode()), *descriptors, child=child, channel=channel, taken=taken)
    except BaseException:  # nothing of the child may go on as the spawner
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _obey(order: Order, report: int, *, child: Child, channel: socket.socket, taken: int) -> int:
    """Be the shim of this VM from now on, whoever ends."""
    die_alone()
    retitle(["procurator-shim", order.directory])
    os.write(taken, b"1")
    os.close(taken)
    channel.close()
    os.open("/dev/null", os.O_RDWR)  # which is 0 now
    return hold_vm(order, report, child)


def main() -> None:
    """Load everything, then serve."""
    os.umask(0o077)
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    if null != API_DESCRIPTOR:
        os.dup2(null, API_DESCRIPTOR, inheritable=False)
    for module in filter(None, sys.argv[1].split(",")):
        importlib.import_module(module)
    retitle(["procurator-spawner"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a shim has ended: its record does not say it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes when the worker does
    gc.collect()
    gc.freeze()  # what is loaded stays in pages that all share
    serve(socket.socket(fileno=0))
    os._exit(0)  # nothing to tidy up


if __name__ == "__main__":
    main()
