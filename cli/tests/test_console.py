"""The terminal around an attached console."""

import os
import pty
import subprocess
import sys
import termios

from cli.interactive.console import AS_BEFORE

_A_CONSOLE_THAT_ENDS_BADLY = """
import os
from cli.interactive.console import _raw, _Screen
import trio
with _raw():
    trio.run(_Screen().write, b"\\x1b[?1049h" + b"x" * 20_000)
    raise SystemExit(3)
"""


def test_a_terminal_is_as_it_was_however_its_console_ends() -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    try:
        words = (sys.executable, "-c", _A_CONSOLE_THAT_ENDS_BADLY)
        with subprocess.Popen(words, stdin=theirs, stdout=theirs) as process:
            shown = b""
            while not shown.endswith(AS_BEFORE):
                shown += os.read(ours, 65_536)
            assert process.wait(60) == 3
        assert shown.count(b"x") == 20_000
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)
