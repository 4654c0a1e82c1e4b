"""A process that waits to become a hypervisor: told what to be, let go once it is recorded; it records nothing.

Standard library only, and little of it: the shim uses this, which runs beside every VM. Until it is let go the child
ends when its parent does, whenever and however that is: so no hypervisor runs of which there is no record.
"""

import contextlib
import errno
import os
import signal
import socket
import struct

from worker.vmm.confinement import confine
from worker.vmm.forked import API_DESCRIPTOR, MOST_DESCRIPTORS, call, receive
from worker.vmm.order import Order

_GO = b"go"
_FAILED = 127


class Child:
    """One forked process, in a session of its own, which holds nothing of ours but its end of a socket."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._channel.close()
            _wait(theirs)
        theirs.close()

    def tell(self, order: Order, *, output: int, api: int) -> None:
        """Have it take on its user and its groups, with `output` for its words and the listening socket `api`."""
        with contextlib.suppress(OSError):  # it was ended: `let_go` finds nobody
            socket.send_fds(self._channel, [order.to_text().encode()], [output, api])

    def let_go(self) -> None:
        """Let it become the hypervisor, which outlives us. Raises OSError when it cannot, and then it has ended."""
        problem = b""
        with self._channel, contextlib.suppress(OSError):
            self._channel.send(_GO)
            problem = self._channel.recv(struct.calcsize("i"))
        if problem:
            os.waitpid(self.pid, 0)
            number = struct.unpack("i", problem)[0]
            raise OSError(number, os.strerror(number))


def _wait(channel: socket.socket) -> None:
    """In the child; it never returns."""
    try:
        os.setsid()
        os.dup2(API_DESCRIPTOR, 0)  # which is nothing yet
        os.closerange(API_DESCRIPTOR + 1, channel.fileno())
        os.closerange(channel.fileno() + 1, MOST_DESCRIPTORS)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        text, descriptors = receive(channel, most=2)
        if text:
            _become(Order.from_text(text.decode()), channel, *descriptors)
    except OSError as error:
        with contextlib.suppress(OSError):
            channel.send(struct.pack("i", error.errno or errno.EINVAL))
            channel.recv(len(_GO))  # what is left unread would take our word with it
    finally:
        os._exit(_FAILED)


def _become(order: Order, channel: socket.socket, output: int, api: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(api, API_DESCRIPTOR)
    confine(order.confinement)
    if channel.recv(len(_GO)) != _GO:
        return
    argv = [*order.command, "--api-socket", f"fd={API_DESCRIPTOR}"]
    if order.module:
        call(order.module, argv)
    environment = {key: value for key, value in os.environ.items() if key != "RUST_BACKTRACE"}
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - no shell
