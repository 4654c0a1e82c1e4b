"""How a command ends that a person interrupts."""

import pytest
import trio

from cli.session import INTERRUPTED, run_command


@pytest.mark.parametrize("grouped", [False, True])
def test_ctrl_c_ends_a_command_without_a_traceback(grouped: bool) -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def in_a_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupted)

    with pytest.raises(SystemExit) as ended:
        run_command(in_a_nursery if grouped else interrupted)
    assert ended.value.code == INTERRUPTED
