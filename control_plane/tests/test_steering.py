"""Rollouts and holds steered by operators over the wire, on the real program, and what the audit says of it."""

from functools import partial
from pathlib import Path

import pytest
import trio

from control_plane.tests.builders import a_publish, a_spec
from control_plane.tests.live import LiveWorker, running, session, some_settings, until
from schema.blueprint import CheckType, Gate, Health, HealthCheck, RolloutPolicy, Wave
from schema.errors import Conflict, InvalidInput, NotFound
from schema.generation_diff import Effect, generation_diff
from schema.rpc.client import RemoteMaster
from schema.rpc.transport.sockets import UnixAddress
from schema.status import ClusterStatus, Convergence, RolloutState
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=1000)
QUICK = RolloutPolicy(min_healthy_ms=100)
CANARY = RolloutPolicy(min_healthy_ms=100, waves=(Wave(percent=50), Wave(percent=100, gate=Gate.APPROVE)))


def web(content: str = "1") -> VmSpec:
    return a_spec("web", content, replicas=2, health=CHECKED)


def converged_on(number: int, status: ClusterStatus) -> bool:
    newest = status.newest
    return newest is not None and newest.number == number and status.convergence is Convergence.CONVERGED


async def last_audited(master: RemoteMaster, *, most: int) -> list[tuple[str, str, str, str, str]]:
    entries = await master.list_audit(limit=most, before=0)
    return [(entry.action, entry.subject, entry.old, entry.new, entry.result) for entry in entries]


async def test_an_operator_promotes_pauses_and_aborts(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings), trio.open_nursery() as nursery, session(settings) as master:
        nursery.start_soon(LiveWorker("w0").run, UnixAddress(settings.listen.socket))
        await master.publish_state(a_publish(1, web(), rollout=QUICK))
        await until(master, lambda status: converged_on(1, status))
        await master.publish_state(a_publish(2, web("2"), rollout=CANARY))
        await until(master, lambda status: "approval of wave 2 of 2" in status.reason)
        with pytest.raises(Conflict, match="not paused"):
            await master.resume_rollout(2)
        await master.pause_rollout(2, reason="lunch")
        paused = (await master.list_rollouts(limit=1, before=0))[0]
        assert (paused.state, paused.reason) == (RolloutState.PAUSED, "by uid:0: lunch")
        assert [(wave.number, wave.healthy, wave.waits_for) for wave in paused.waves] == [
            (1, 1, ""),
            (2, 0, "the rollout is paused"),
        ]
        await master.resume_rollout(2)
        await master.promote_rollout(2)
        await until(master, lambda status: converged_on(2, status))
        await master.publish_state(a_publish(3, web("3"), rollout=CANARY))
        await master.abort_rollout(3, reason="not today")
        with pytest.raises(NotFound, match="the newest is 3"):
            await master.pause_rollout(9, reason="")
        assert await last_audited(master, most=2) == [
            ("pauseRollout", "9", "", "", "not-found: there is no rollout of generation 9; the newest is 3"),
            ("abortRollout", "3", "running", "aborted: not today", "ok"),
        ]
        nursery.cancel_scope.cancel()


async def test_an_operator_holds_and_lifts_and_compares_generations(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings), trio.open_nursery() as nursery, session(settings) as master:
        nursery.start_soon(LiveWorker("w0").run, UnixAddress(settings.listen.socket))
        for number in (1, 2):
            await master.publish_state(a_publish(number, web(str(number)), rollout=QUICK))
            await until(master, partial(converged_on, number))
        found = await master.hold(("web",), 1, reason="it leaks")
        assert (found.vms, found.generation, found.actor) == (("web",), 1, "uid:0")
        assert await master.list_holds() == (found,)
        status = await until(master, lambda status: status.convergence is Convergence.HELD)
        assert status.reason == "web is held at generation 1 by uid:0: it leaks"
        assert {vm.running_generation for vm in status.vms} == {1}
        assert await last_audited(master, most=1) == [
            ("hold", "web", "", f"{found.id}: web at generation 1: it leaks", "ok")
        ]
        await master.lift_hold(found.id)
        await until(master, lambda status: converged_on(2, status))
        assert await master.list_holds() == ()
        assert [one.number for one in await master.list_generations(limit=0, before=0)] == [2, 1]
        difference = generation_diff(await master.get_generation(1), await master.get_generation(2))
        assert [(one.vm, one.effect) for one in difference.changed] == [("web", Effect.CONTENT)]
        with pytest.raises(NotFound, match="kept are 1, 2"):
            await master.get_generation(7)
        nursery.cancel_scope.cancel()


async def test_a_publish_that_would_empty_the_cluster_is_refused_over_the_wire(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings), session(settings) as master:
        await master.publish_state(a_publish(1, web(), rollout=QUICK))
        with pytest.raises(InvalidInput, match="allowShrink"):
            await master.publish_state(a_publish(2, rollout=QUICK))
        status = await master.get_cluster_status()
        assert [found.number for found in status.generations] == [1]
