"""Forks the shims of one worker from a process that has everything loaded; it holds no VM and outlives nobody.

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
import signal
import socket
import sys

if __name__ == "__main__":  # isolated (-I), so that our own package is not on the path
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120 - pathlib costs memory beside every VM
from worker.vmm.forked import API_DESCRIPTOR, receive, retitle
from worker.vmm.holding import hold_vm
from worker.vmm.order import Order


def serve(channel: socket.socket) -> None:
    """One fork for each order, until nobody can send any more."""
    while True:
        message, descriptors = receive(channel, most=1)
        if not message:
            return
        (report,) = descriptors
        if os.fork() == 0:
            _become_shim(channel, Order.from_text(message.decode()), report)
        os.close(report)


def _become_shim(channel: socket.socket, order: Order, report: int) -> None:
    """In the child; it never returns. What goes wrong unforeseen is in `shim.log`, once there is one."""
    code = 1
    try:
        channel.close()
        os.open("/dev/null", os.O_RDWR)  # which is 0 now
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        retitle(["procurator-shim", order.directory])
        code = hold_vm(order, report)
    except BaseException:  # nothing of the child may go on as the spawner
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


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
