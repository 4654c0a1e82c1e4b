"""From a push to healthy VMs, and back: the stories of a team that pushes."""

import json

import pytest

from schema.builds import BuildState, StageName, StageState
from schema.status import Convergence, RolloutState
from tests.e2e.fleet import a_fleet, processes, vm_of

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

TEXT = "<!doctype html><title>Story</title><p>{}</p>\n"


async def test_a_push_becomes_a_page_and_the_next_one_changes_it_without_touching_the_database() -> None:
    async with a_fleet() as fleet:
        first = await fleet.first_push()
        before = await fleet.converged(first)
        assert {vm.instance for vm in before.vms} == {"web-0", "web-1", "db-0", "batch-0"}
        assert "pushed with git" in await fleet.page()

        second = await fleet.commit({"web/index.html": TEXT.format("the second text")})
        after = await fleet.converged(second)
        assert "the second text" in await fleet.page("web-0")
        assert "the second text" in await fleet.page("web-1")
        old, new = processes(before), processes(after)
        assert (old["db-0"], old["batch-0"]) == (new["db-0"], new["batch-0"])
        assert old["web-0"] != new["web-0"]
        assert old["web-1"] != new["web-1"]
        assert (await fleet.build(second)).state is BuildState.SUCCEEDED
        waited = await fleet.pcr("rollout", "wait", "--commit", second, "-o", "json")
        assert waited.returncode == 0, waited.stderr.decode()

        # The same content again: nothing is published, and nothing is touched.
        third = await fleet.commit({})
        build = await fleet.build(third)
        assert build.state is BuildState.UNCHANGED
        assert processes(await fleet.status()) == new


async def test_what_does_not_evaluate_build_or_pass_its_checks_is_not_published_and_its_author_sees_why() -> None:
    async with a_fleet() as fleet:
        running = await fleet.converged(await fleet.first_push())
        for variant, stage, words in (
            ("failing-evaluation", StageName.EVALUATE, "does not evaluate"),
            ("failing-check", StageName.CHECKS, "page"),
            ("failing-build", StageName.BUILD, "web"),
        ):
            commit = await fleet.commit({"variant.nix": f'"{variant}"\n'})
            build = await fleet.build(commit)
            assert build.state is BuildState.FAILED
            assert build.stage(stage).state is StageState.FAILED
            assert words in build.error
            assert build.log_tail, "the author sees the last lines"
            waited = await fleet.pcr("rollout", "wait", "--commit", commit)
            assert waited.returncode == 1
            assert stage.value in (waited.stdout + waited.stderr).decode()
        after = await fleet.status()
        assert [generation.number for generation in after.generations] == [1]
        assert processes(after) == processes(running)
        assert after.convergence is Convergence.CONVERGED


async def test_what_never_gets_healthy_goes_back_to_what_was_and_is_not_told_as_success() -> None:
    async with a_fleet() as fleet:
        first = await fleet.first_push()
        before = await fleet.converged(first)
        bad = await fleet.commit({"variant.nix": '"unhealthy"\n', "web/index.html": TEXT.format("never seen")})
        waited = await fleet.pcr("rollout", "wait", "--commit", bad)
        assert waited.returncode == 3, (waited.stdout + waited.stderr).decode()

        back = await fleet.until(
            lambda status: (
                all(vm.healthy and vm.running_generation == 1 for vm in status.vms)
                and status.generations[0].state is RolloutState.ROLLED_BACK
            )
        )
        assert back.convergence is Convergence.FAILED
        assert "web-" in back.reason
        assert "pushed with git" in await fleet.page("web-0")
        assert "pushed with git" in await fleet.page("web-1")
        assert processes(back)["db-0"] == processes(before)["db-0"]
        assert vm_of(back, "web-1").content_hash == vm_of(before, "web-1").content_hash
        build = await fleet.build(bad)
        assert (build.state, build.stage(StageName.ROLLOUT).state) == (BuildState.ROLLED_BACK, StageState.FAILED)
        shown = json.loads((await fleet.pcr("status", "-o", "json")).stdout)
        assert shown["convergence"] == "failed"

        # A new commit is tried, also after a rollback.
        good = await fleet.commit({"variant.nix": '"healthy"\n', "web/index.html": TEXT.format("well again")})
        await fleet.converged(good)
        assert "well again" in await fleet.page()
