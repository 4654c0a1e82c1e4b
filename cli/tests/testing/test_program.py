"""`pcr-test` and `pcr` against the real control plane: made-up generations, the refusals, an assignment, a report."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from cli.tests.builders import COMMIT
from nix.run import Completed, open_process, run
from schema.signing import SecretKey

CI = SecretKey.from_seed("ci-1", b"1" * 32)
ASSIGNMENT = SecretKey.from_seed("control-plane-1", b"2" * 32)
OTHER = SecretKey.from_seed("other-1", b"3" * 32)


@dataclass(frozen=True)
class Live:
    """A control plane as a program of its own, laid out as `pcr up` does it."""

    root: Path

    async def call(self, module: str, *argv: str) -> Completed:
        env = {"HOME": str(self.root), "PROCURATOR_STATE": str(self.root)}
        return await run([sys.executable, "-m", module, *argv], deadline=120, env=env, check=False)

    async def publish(self, number: int, *argv: str, count: int = 3, key: SecretKey = CI) -> Completed:
        file = self.root / "key"
        file.write_text(key.reveal())
        argv = ("-c", COMMIT, "-g", str(number), "-n", str(count), "--key", str(file), *argv)
        return await self.call("cli.testing.main", "state", "publish", *argv)


@asynccontextmanager
async def a_real_control_plane(root: Path) -> AsyncIterator[Live]:
    (root / "run").mkdir()
    (root / "assignment-key").touch(mode=0o600)
    (root / "assignment-key").write_text(ASSIGNMENT.reveal())
    config = root / "control-plane.toml"
    config.write_text(
        f'[listen]\nrpc = "127.0.0.1:0"\nsocket = "{root}/run/control-plane.sock"\nhttp = "127.0.0.1:0"\n'
        f'[database]\nurl = "sqlite:///{root}/state.sqlite"\n'
        f'[keys]\nassignment = "{root}/assignment-key"\npublishers = ["{CI.public}"]\n'
        f'[runtime]\nready_file = "{root}/run/control-plane.json"\n'
    )
    program = str(Path(sys.executable).with_name("procurator-control-plane"))
    async with open_process([program, "--config", str(config)], env={}, stdin=None, stdout=None, stderr=None):
        with trio.fail_after(120):
            while not (root / "run" / "control-plane.json").exists():  # noqa: ASYNC110 - another process writes it
                await trio.sleep(0.05)
        yield Live(root)


async def test_a_made_up_generation_is_published_once_and_seen(tmp_path: Path) -> None:
    async with a_real_control_plane(tmp_path) as live:
        published = await live.publish(1)
        assert published.returncode == 0, published.stderr
        assert published.stdout.startswith(b"generation 1 created, intentHash ")
        again = await live.publish(1)
        assert again.stdout.startswith(b"generation 1 was there already")
        status = json.loads((await live.call("cli.testing.main", "control", "status")).stdout)
        assert [known["number"] for known in status["generations"]] == [1]
        listed = json.loads((await live.call("cli.main", "vm", "ls", "-o", "json")).stdout)
        assert [vm["instance"] for vm in listed] == ["vm-00000-0", "vm-00001-0", "vm-00002-0"]
        shown = await live.call("cli.main", "status")
        assert b"vm-00002-0" in shown.stdout


async def test_wrong_publishes_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async with a_real_control_plane(tmp_path) as live:
        right = (await live.publish(2)).stdout.split()[-1]
        wrong = await live.publish(3, "-i", "0" * 64)
        assert wrong.returncode == 1
        assert right in wrong.stderr, "the refusal names the right hash"
        assert (await live.publish(1)).returncode == 1
        assert (await live.publish(2, count=4)).returncode == 1
        assert b"other-1" in (await live.publish(3, key=OTHER)).stderr
        assert (await live.publish(3, "--origin", "demo/another")).returncode == 1
        assert (await live.publish(3, "--cluster", "No Label")).returncode == 1
        status = json.loads((await live.call("cli.testing.main", "control", "status")).stdout)
        assert [known["number"] for known in status["generations"]] == [2]


async def test_an_unknown_worker_has_no_assignment_and_its_report_is_refused(tmp_path: Path) -> None:
    async with a_real_control_plane(tmp_path) as live:
        for argv in (["get-assignment", "nobody"], ["push-data", "nobody"]):
            refused = await live.call("cli.testing.main", "worker", *argv)
            assert refused.returncode == 1
            assert refused.stderr.startswith(b"pcr-test: ")
            assert b"Traceback" not in refused.stderr


async def test_without_a_key_nothing_is_sent(tmp_path: Path) -> None:
    live = Live(tmp_path)
    argv = ("state", "publish", "-c", COMMIT, "-g", "1", "-n", "1", "--key", str(tmp_path / "none"))
    refused = await live.call("cli.testing.main", *argv)
    assert refused.returncode == 1
    assert b"--key" in refused.stderr
