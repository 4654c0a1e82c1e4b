"""Which tests may run beside each other: those of one group follow each other, in one process."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent
GROUPS = {
    "worker": ("worker",),  # namespaces, taps and addresses that they name the same
    "clusters": ("tests/e2e", "tests/liveness", "cli/tests/up", "cli/tests/demo"),  # whole clusters of this machine
}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By the folder where that shares something of the machine, else by the file."""
    for item in items:
        path = item.path.relative_to(ROOT).as_posix()
        names = [name for name, folders in GROUPS.items() if path.startswith(tuple(f"{one}/" for one in folders))]
        item.add_marker(pytest.mark.xdist_group(names[0] if names else path))
