"""`pcr vm console`: this terminal in raw mode, as the guest's console, until Ctrl-] or the guest's end."""

import fcntl
import os
import struct
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import trio

from cli.session import control_plane, run_command
from cli.settings import Target
from schema.errors import Unavailable
from schema.interfaces import Console, Role

DETACH = b"\x1d"
"""Ctrl-]."""
PIECE_BYTES = 4096
AS_BEFORE = b"\x1b[!p\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1047l\x1b[0m"
"""Switches off what a guest may have left on: attributes, a hidden cursor, the mouse, bracketed paste, its screen."""
LOOK_SECONDS = 2.0


def attach(target: Target, instance: str) -> None:
    """Until Ctrl-], or until the VM or the connection is gone. Raises what the control plane answers."""

    async def talk() -> None:
        async with control_plane(target, Role.OPERATOR) as master:
            vm = await master.get_vm(instance)
            columns, rows = _size()
            screen = _Screen()
            click.echo(f"attached to {instance}; Ctrl-] detaches", err=True)
            with _raw():
                console = await vm.console(screen, columns=columns, rows=rows)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_until_gone, console, nursery.cancel_scope)
                    await _type(console)
                    nursery.cancel_scope.cancel()
            click.echo(f"\ndetached from {instance}", err=True)

    run_command(talk)


class _Screen:
    """`LogSink`: what the guest shows, as it is."""

    async def write(self, data: bytes) -> None:
        await trio.to_thread.run_sync(_show, data)


def _show(data: bytes) -> None:
    """All of it: a terminal may take less than it is given."""
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


async def _type(console: Console) -> None:
    """Every key to the guest, until Ctrl-]."""
    keys = sys.stdin.fileno()
    try:
        while True:
            await trio.lowlevel.wait_readable(keys)
            data = os.read(keys, PIECE_BYTES)
            typed, found, _ = data.partition(DETACH)
            if typed:
                await console.write(typed)
            if found or not data:
                await console.close()
                return
    except Unavailable:
        return  # the guest is gone


async def _until_gone(console: Console, scope: trio.CancelScope) -> None:
    """Whether the guest is still there is only told to who types: type nothing, now and then."""
    try:
        while True:
            await trio.sleep(LOOK_SECONDS)
            await console.write(b"")
    except Unavailable:
        scope.cancel()


@contextmanager
def _raw() -> Iterator[None]:
    """The terminal hands on every key and shows none by itself; as it was afterwards."""
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        with suppress(OSError):  # the terminal has gone
            os.write(sys.stdout.fileno(), AS_BEFORE)
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _size() -> tuple[int, int]:
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(sys.stdout, termios.TIOCGWINSZ, bytes(8)))
    return columns, rows
