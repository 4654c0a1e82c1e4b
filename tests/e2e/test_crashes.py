"""`kill -9` of each service in the middle of a rollout: it converges, and no VM that should run is restarted."""

import pytest
import trio

from schema.status import ClusterStatus, RolloutState, VmPhase
from tests.e2e.fleet import Fleet, a_fleet, processes, told, vm_of

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

TEXT = "<!doctype html><title>Story</title><p>{}</p>\n"


def in_the_middle(commit: str, status: ClusterStatus) -> bool:
    """The rollout of `commit` runs, and the first of the two replicas is on its way."""
    newest = status.newest
    if newest is None or newest.commit != commit or newest.state is not RolloutState.RUNNING:
        return False
    return any(
        vm.vm == "web"
        and vm.running_generation == newest.number
        and vm.pid
        and vm.phase in (VmPhase.BOOTING, VmPhase.RUNNING)
        for vm in status.vms
    )


async def killed_in_the_middle(fleet: Fleet, victim: str, text: str) -> None:
    before = await fleet.status()
    commit = await fleet.commit({"web/index.html": TEXT.format(text)})
    middle = await fleet.until(lambda status: in_the_middle(commit, status))
    await fleet.kill(victim)
    after = await fleet.converged(commit)
    assert text in await fleet.page("web-0")
    assert text in await fleet.page("web-1")
    old, new = processes(before), processes(after)
    assert (old["db-0"], old["batch-0"]) == (new["db-0"], new["batch-0"]), told(after)
    assert [vm.restarts for vm in after.vms] == [0, 0, 0, 0], told(after)
    for vm in middle.vms:
        if vm.vm == "web" and vm.pid and vm.running_content_hash == vm_of(after, vm.instance).content_hash:
            assert vm.pid == new[vm.instance], f"{vm.instance} was booting already\n{told(after)}"


async def test_a_rollout_survives_the_death_of_worker_control_plane_and_ci() -> None:
    async with a_fleet() as fleet:
        await fleet.converged(await fleet.first_push())
        for victim in ("worker-0", "control-plane", "ci"):
            await killed_in_the_middle(fleet, victim, f"after the death of {victim}")


async def test_ci_killed_in_the_middle_of_a_build_finishes_it() -> None:
    async with a_fleet() as fleet:
        commit = await fleet.first_push()
        await trio.sleep(0.3)
        await fleet.kill("ci")
        status = await fleet.converged(commit)
        assert [generation.commit for generation in status.generations] == [commit]


async def test_a_push_while_ci_is_away_is_built_when_it_is_back() -> None:
    async with a_fleet() as fleet:
        await fleet.kill("ci")
        commit = await fleet.first_push()
        assert (await fleet.build(commit)).commit == commit
