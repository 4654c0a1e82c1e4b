"""The life of a hypervisor process as recorded (facts §7): socket and lock, signals, exit codes, what is left behind.

The guest comes from outside, so that the dev hypervisor and the fake live the same life; no answer is decided here.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol, TextIO

from worker.vmm.dev.answers import GuestEnd, GuestEvent, VmmPanicked
from worker.vmm.dev.api import VERSION, Answer, Identity, respond
from worker.vmm.dev.command_line import DEV_USAGE, USAGE, Options, Place, UsageProblem, parse
from worker.vmm.dev.guest_port import Guest
from worker.vmm.dev.machine import Machine
from worker.vmm.dev.server import ApiServer
from worker.vmm.dev.wire import HttpRequest

LISTEN_BACKLOG = 16
STDERR = 2
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SOCKET_UMASK = 0o077
"""The API's socket file gets mode 0700."""


class LivingGuest(Guest, Protocol):
    """A guest that may end by itself."""

    def fileno(self) -> int | None:
        """Readable when `take_events` has something to read; None while nothing runs."""
        ...

    def take_events(self) -> list[GuestEvent]:
        """What the guest did by itself since the last time, its end last."""
        ...


class AlreadyServed(Exception):
    """A live process holds the API's socket."""


class _Ended(Exception):
    """SIGTERM or SIGINT came."""


def run(program: str, argv: list[str], make_guest: Callable[[Options, Callable[[str], None]], LivingGuest]) -> int:
    """The whole run of a hypervisor program with the arguments `argv`; the exit code. Every end is a recorded one."""
    try:
        options = parse(argv)
    except UsageProblem as problem:
        sys.stderr.write(f"error: {problem}\n\n{USAGE.format(program=program)}{DEV_USAGE}")
        return 2
    if options.version or options.help:
        sys.stdout.write(USAGE.format(program=program) + DEV_USAGE if options.help else f"{program} v{VERSION}\n")
        return 0
    place = options.api_socket or Place()
    try:
        with _log(options) as log, ApiSocket(place) as listener:
            return _Process(program, options, listener=listener, log=log, make_guest=make_guest).live()
    except AlreadyServed as problem:
        sys.stderr.write(f"Error: {program} exited with the following chain of errors:\n  0: {problem}\n")
    except OSError as error:
        sys.stderr.write(f"Error: {program} exited with the following chain of errors:\n  0: {error}\n")
    return 1


class ApiSocket:
    """The API's listening socket, with its lock; a stale file at the path is replaced, a live one refused."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = -1

    def __enter__(self) -> socket.socket:
        if self._place.path is None:
            return socket.socket(fileno=self._place.fd)
        path = self._place.path
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise AlreadyServed(f'API socket "{path}" is already in use by another running instance') from error
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - pathlib costs start-up time
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(SOCKET_UMASK)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(LISTEN_BACKLOG)
        return listener

    def __exit__(self, *_: object) -> None:
        if self._place.path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._place.path)  # noqa: PTH108 - as above
            os.close(self._lock)


@contextlib.contextmanager
def _log(options: Options) -> Iterator[int]:
    if options.log_file is None:
        yield STDERR
        return
    with open(options.log_file, "ab") as opened:  # noqa: PTH123 - as above
        yield opened.fileno()


def say(text: str, *, to: int = STDERR) -> None:
    """One line for people. Unbuffered, and nobody listening any more is no reason to end: a shim may die first."""
    with contextlib.suppress(OSError):
        os.write(to, f"{text}\n".encode())


class _Process:
    """One living process: API, guest and signals on one selector."""

    def __init__(
        self,
        program: str,
        options: Options,
        *,
        listener: socket.socket,
        log: int,
        make_guest: Callable[[Options, Callable[[str], None]], LivingGuest],
    ) -> None:
        self._options = options
        self._log_file = log
        self._started = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._events = _open_events(options.event_monitor)
        self._guest = make_guest(options, self._log)
        self._machine = Machine(self._guest, random_mac=random_mac, on_event=self._tell)
        identity = Identity(build_version=f"{program} v{VERSION}", pid=os.getpid())
        self._server = ApiServer(
            selector=self._selector,
            listener=listener,
            respond=lambda request: self._respond(identity, request),
            on_end=self._end,
        )
        self._watched: int | None = None
        self._ending = False

    def live(self) -> int:
        for number in ENDING_SIGNALS:
            signal.signal(number, _raise_ended)
        self._tell("vmm", "starting")
        try:
            while not self._ending:
                for key, mask in self._selector.select():
                    key.data(mask)
                    if self._ending:
                        break
        except _Ended:
            pass
        except VmmPanicked as panic:
            say(f"thread 'vmm' panicked: {panic}")
            return 1
        finally:
            _ignore_ends()
            self._machine.end()
        self._server.close()
        self._tell("vmm", "shutdown")
        return 0

    def _respond(self, identity: Identity, request: HttpRequest) -> Answer:
        self._log(f"{request.method} {request.endpoint}", level=1)
        answer = respond(self._machine, identity, request)
        self._take_guest_events()  # some may have come with the answers to our commands
        self._watch_guest()  # at once: a guest that a later request starts may get the same descriptor
        return answer

    def _watch_guest(self) -> None:
        """Keep the selector on the guest that runs now; a boot or a shutdown may have changed it."""
        now = self._guest.fileno()
        if now == self._watched:
            return
        if self._watched is not None:
            self._selector.unregister(self._watched)
        if now is not None:
            self._selector.register(now, selectors.EVENT_READ, self._guest_told)
        self._watched = now

    def _guest_told(self, _mask: int) -> None:
        self._take_guest_events()
        self._watch_guest()

    def _take_guest_events(self) -> None:
        for event in self._guest.take_events():
            if not isinstance(event, GuestEnd):
                self._machine.guest_told(event)
                continue
            self._log(f"the guest {event.value}")
            if event is GuestEnd.CRASHED:
                say("VCPU generated error: the guest's process ended")
            if event is GuestEnd.POWERED_OFF and self._options.no_shutdown:
                self._machine.guest_powered_off()
            else:
                self._end()

    def _end(self) -> None:
        self._ending = True

    def _log(self, text: str, level: int = 0) -> None:
        if self._options.verbosity >= level:
            say(f"{time.monotonic() - self._started:.6f}s: {text}", to=self._log_file)

    def _tell(self, source: str, event: str) -> None:
        if self._events is None:
            return
        age = time.monotonic_ns() - int(self._started * 1e9)
        stamp = {"secs": age // 10**9, "nanos": age % 10**9}
        told = {"timestamp": stamp, "source": source, "event": event, "properties": None}
        self._events.write(json.dumps(told, indent=2) + "\n\n")
        self._events.flush()


def random_mac() -> str:
    """A locally administered MAC, as the real one makes for a network card without one."""
    return ":".join(f"{byte:02x}" for byte in b"\x2e" + os.urandom(5))


def _raise_ended(_number: int, _frame: FrameType | None) -> None:
    _ignore_ends()
    raise _Ended


def _ignore_ends() -> None:
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _open_events(place: Place | None) -> TextIO | None:
    if place is None:
        return None
    target: str | int = place.path if place.path is not None else place.fd or 0
    return open(target, "w", encoding="utf-8")  # noqa: PTH123 - open for the process's life
