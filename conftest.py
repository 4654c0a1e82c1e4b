"""Which tests may run beside each other (those of one group follow each other, in one process); why some did not.

And none fails for being slow: the machine may be busy with others.
"""

from collections import Counter

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

GROUPS = {
    "worker": ("worker/",),  # namespaces, taps and addresses that they name the same
    "clusters": ("tests/e2e/", "tests/liveness/", "cli/tests/up/", "cli/tests/demo/"),  # whole clusters of this machine
}

settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")


class ByGroup(LoadScopeScheduling):
    """By the folder where that shares something of the machine, else by the file."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        names = [name for name, folders in GROUPS.items() if path.startswith(folders)]
        return names[0] if names else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    """Not by marks (`--dist loadgroup`): pytest 9.2 no longer has the field that xdist 3.8 writes groups to."""
    return ByGroup(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a reason: a line a test would push the failures out of what CI keeps of the output."""
    reports = terminalreporter.getreports("skipped")
    reasons = Counter(report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple))
    for reason, tests in reasons.most_common():
        terminalreporter.write_line(f"{tests} x {reason}")
