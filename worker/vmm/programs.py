"""Which hypervisor commands are Python programs of ours, that a loaded spawner can call; it calls none."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_MODULES = ("worker.vmm.dev.app", "worker.vmm.fake")
"""Each has a `main()` that reads `sys.argv`."""
_SCRIPTS = {"procurator-vmm": "worker.vmm.dev.app"}


def program_of(name: str) -> str:
    """A program by its name: on PATH, else beside our interpreter, where a virtual environment has its scripts."""
    beside = Path(sys.executable).parent / name
    return shutil.which(name) or (str(beside) if "/" not in name and beside.exists() else name)


def module_of(command: Sequence[str]) -> str:
    """The module behind a command, where it is ours and belongs to this very Python; else empty."""
    if _is_of_this_python(command):
        return command[2]
    script = Path(program_of(command[0]))
    ours = Path(sys.executable).parent, Path(sys.argv[0]).parent
    return _SCRIPTS.get(script.name, "") if script.parent in ours else ""


def arguments_of(command: Sequence[str]) -> tuple[str, ...]:
    """The command as the program itself sees it (`sys.argv`)."""
    return tuple(command[2:]) if _is_of_this_python(command) else (program_of(command[0]), *command[1:])


def _is_of_this_python(command: Sequence[str]) -> bool:
    return tuple(command[:2]) == (sys.executable, "-m") and command[2] in _MODULES
