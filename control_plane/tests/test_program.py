"""The program as a process: started from a settings file, killed in the middle of publishes, started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import tomli_w
import trio

from control_plane.tests.builders import CI_KEY, MASTER_KEY, a_publish, a_spec
from control_plane.tests.live import LiveWorker, until
from schema.blueprint import RolloutPolicy
from schema.errors import ProcuratorError
from schema.interfaces import Role
from schema.rpc.client import open_session
from schema.rpc.transport.sockets import UnixAddress
from schema.status import Convergence, RolloutState


def a_settings_file(state: Path) -> Path:
    key = state / "control-plane.key"
    key.touch(mode=0o600)
    key.write_text(MASTER_KEY.reveal())
    path = state / "control-plane.toml"
    settings = {
        "listen": {"rpc": "127.0.0.1:0", "socket": str(state / "rpc.sock"), "http": "127.0.0.1:0"},
        "database": {"url": f"sqlite:///{state}/state.sqlite"},
        "keys": {"assignment": str(key), "publishers": [str(CI_KEY.public)]},
        "runtime": {"ready_file": str(state / "ready")},
        "workers": {"policy": "auto"},
    }
    path.write_text(tomli_w.dumps(settings))
    return path


def argv(config: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "control_plane.app", "--config", str(config), *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}


@asynccontextmanager
async def the_program(config: Path) -> AsyncIterator[trio.Process]:
    """The program, once it listens; killed at the end if it still runs."""
    ready = config.parent / "ready"
    ready.unlink(missing_ok=True)
    process = await trio.lowlevel.open_process(argv(config), env=environment())
    try:
        with trio.fail_after(60):
            while not ready.exists():
                assert process.poll() is None
                await trio.sleep(0.02)
        assert json.loads(ready.read_text())["pid"] == process.pid
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def publish_until_it_dies(address: UnixAddress, first: int, acknowledged: list[int]) -> None:
    number = first
    try:
        async with open_session(address, Role.PUBLISHER) as master:
            while True:
                await master.publish_state(a_publish(number, *(a_spec(f"vm{n}") for n in range(10))))
                acknowledged.append(number)
                number += 1
    except* ProcuratorError:
        pass


async def test_kill_9_in_the_middle_of_publishes_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    config, address = a_settings_file(tmp_path), UnixAddress(tmp_path / "rpc.sock")
    acknowledged: list[int] = []
    number = 1
    for delay in (0.013, 0.031):
        async with the_program(config) as process, trio.open_nursery() as nursery:
            known = len(acknowledged)
            nursery.start_soon(publish_until_it_dies, address, number, acknowledged)
            with trio.fail_after(60):
                while len(acknowledged) < known + 3:  # noqa: ASYNC110 the point is to kill it at any moment
                    await trio.sleep(0.01)
            await trio.sleep(delay)
            process.send_signal(signal.SIGKILL)
        number = acknowledged[-1] + 2
    async with the_program(config), open_session(address, Role.VIEWER) as master:
        status = await master.get_cluster_status()
        assert status.newest is not None
        assert status.newest.number in (acknowledged[-1], acknowledged[-1] + 1)
        assert status.newest.state is RolloutState.RUNNING


async def test_kill_9_in_the_middle_of_a_rollout_is_gone_on_with_and_no_vm_is_started_again(tmp_path: Path) -> None:
    config, address = a_settings_file(tmp_path), UnixAddress(tmp_path / "rpc.sock")
    policy = RolloutPolicy(min_healthy_ms=200)
    worker = LiveWorker("w0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, address)
        async with the_program(config) as process, open_session(address, Role.ADMIN) as master:
            await master.publish_state(a_publish(1, a_spec("web", replicas=3), a_spec("db"), rollout=policy))
            await until(master, lambda status: status.convergence is Convergence.CONVERGED and bool(status.vms))
            await master.publish_state(a_publish(2, a_spec("web", "2", replicas=3), a_spec("db"), rollout=policy))
            await until(master, lambda status: sum(vm.running_generation == 2 for vm in status.vms) >= 2)
            process.send_signal(signal.SIGKILL)
        async with the_program(config), open_session(address, Role.ADMIN) as master:
            status = await until(master, lambda status: status.convergence is Convergence.CONVERGED)
            assert {vm.generation for vm in status.vms} == {2}
        nursery.cancel_scope.cancel()
    assert len(worker.fake.started) == len(set(worker.fake.started)) == 7


async def test_sigterm_ends_it_with_success_and_the_socket_is_gone(tmp_path: Path) -> None:
    async with the_program(a_settings_file(tmp_path)) as process:
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(60):
            assert await process.wait() == 0
        assert not (tmp_path / "rpc.sock").exists()


def test_print_config_shows_where_each_value_came_from_and_no_secret(tmp_path: Path) -> None:
    config = a_settings_file(tmp_path)
    shown = subprocess.run(
        argv(config, "--print-config"),
        env={**environment(), "PROCURATOR_CONTROL_PLANE__LIVENESS__INTERVAL_MS": "500"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "liveness.interval_ms = 500  # environment PROCURATOR_CONTROL_PLANE__LIVENESS__INTERVAL_MS" in shown
    assert "network.range = 10.77.0.0/16  # default" in shown
    assert MASTER_KEY.reveal().partition(":")[2] not in shown


def test_an_unknown_key_in_the_settings_is_refused_with_its_path(tmp_path: Path) -> None:
    config = a_settings_file(tmp_path)
    config.write_text(config.read_text() + "\n[liveness]\nintervalMs = 5\n")
    failed = subprocess.run(argv(config), env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert failed.returncode == 2
    assert "liveness.intervalMs: unknown key; did you mean liveness.interval_ms?" in failed.stderr
