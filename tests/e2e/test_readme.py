"""The commands that the README names do what it says, run as a user would paste them."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.e2e.fleet import a_fleet

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Each command of the README's shell blocks, without its comment."""
    text = (ROOT / "README.md").read_text()
    lines = (line for block in BLOCK.findall(text) for line in block.splitlines())
    return [command for line in lines if (command := line.partition(" #")[0].strip())]


def documents(text: str) -> list[object]:
    """One JSON document, or one a line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


def test_the_readme_names_the_two_commands() -> None:
    assert {"./dev demo", "./dev test"} <= set(commands())


@pytest.mark.guest
@pytest.mark.timeout(420)
async def test_the_commands_for_a_running_cluster_work_as_written() -> None:
    async with a_fleet() as fleet:
        commit = await fleet.first_push()
        await fleet.converged(commit)
        tried = 0
        for command in commands():
            words = shlex.split(command.replace("$(git rev-parse HEAD)", commit))
            if words[0] != "pcr" or words[1] in ("up", "down"):
                continue  # the fleet is `pcr up`, and its end is `pcr down`'s; both have tests of their own
            shown = await fleet.pcr(*words[1:])
            assert shown.returncode == 0, (command, shown.stderr.decode())
            assert shown.stdout.strip(), command
            assert documents((await fleet.pcr(*words[1:], "-o", "json")).stdout.decode())
            tried += 1
        assert tried >= 4
