"""What must be refused is refused with a typed error, and nothing changes by it."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from cli.up.cluster import executables
from nix.run import Completed, run
from schema.builds import BuildState
from schema.signing import SecretKey
from schema.status import ClusterStatus, RolloutState
from tests.e2e.fleet import Fleet, a_fleet, processes, told, vm_of

TEXT = "<!doctype html><title>Story</title><p>{}</p>\n"
COMMIT = "c" * 40
OTHER_KEY = SecretKey.from_seed("ci-stranger", b"s" * 32)


async def pcr_test(fleet: Fleet, *arguments: str) -> Completed:
    env = {"PATH": os.environ["PATH"], "HOME": str(fleet.root)}
    argv = [str(executables() / "pcr-test"), "--connect", f"unix:{fleet.cluster.state.socket}", *arguments]
    return await run(argv, deadline=120, env=env, check=False)


async def publish(fleet: Fleet, number: int, *, count: int = 0, key: Path | None = None, **named: str) -> str:
    """`pcr-test state publish` as CI would; what it says."""
    key = key or fleet.cluster.state.keys / "ci"
    extra = [word for name, value in named.items() for word in (f"--{name.replace('_', '-')}", value)]
    done = await pcr_test(
        fleet, "state", "publish", "-c", COMMIT, "-g", str(number), "-n", str(count), "--key", str(key), *extra
    )
    return f"{done.returncode} {done.stdout.decode()}{done.stderr.decode()}"


async def test_publishes_are_idempotent_and_what_does_not_fit_is_refused_by_name() -> None:
    async with a_fleet() as fleet:
        origin = "demo/example"
        accepted = await publish(fleet, 3, origin=origin)
        assert accepted.startswith("0 "), accepted
        before = await fleet.status()
        assert (await publish(fleet, 3, origin=origin)).startswith("0 ")
        refusals = {
            "already known with": await publish(fleet, 3, count=1, origin=origin),
            "older": await publish(fleet, 2, origin=origin),
            "does not match": await publish(fleet, 4, origin=origin, intent_hash="f" * 64),
            "tracks": await publish(fleet, 4, origin="somebody/else"),
            "unknown key": await publish(fleet, 4, origin=origin, key=_stranger(fleet.root)),
        }
        for words, said in refusals.items():
            assert not said.startswith("0 "), (words, said)
            assert words in said.lower(), (words, said)
            assert "Traceback" not in said
        _wrong, right = re.findall(r"\b[0-9a-f]{64}\b", refusals["does not match"])
        assert (await publish(fleet, 4, origin=origin, intent_hash=right)).startswith("0 ")
        after = await fleet.status()
        assert [generation.number for generation in after.generations] == [4, 3]
        assert after.origin == before.origin
        shown = await pcr_test(fleet, "control", "status")
        assert json.loads(shown.stdout)["generations"][0]["number"] == 4


def _stranger(directory: Path) -> Path:
    path = directory / "stranger"
    path.touch(mode=0o600)
    path.write_text(OTHER_KEY.reveal())
    return path


async def test_garbage_on_the_rpc_port_harms_nobody() -> None:
    async with a_fleet() as fleet:
        pid = fleet.pid_of("control-plane")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, b"\x00" * 65536, os.urandom(65536)):
            with socket.create_connection(("127.0.0.1", fleet.cluster.ports.rpc), timeout=60) as peer:
                try:
                    peer.sendall(garbage)
                    peer.shutdown(socket.SHUT_WR)
                    peer.recv(1)
                except OSError:
                    pass  # hung up on: as good
        assert (await fleet.status()).realm == "default"
        assert fleet.pid_of("control-plane") == pid


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does not get to run (SIGSTOP) while the block does."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def pushed_while_the_worker_sleeps(fleet: Fleet, text: str, tamper: Callable[[Path, Path], None]) -> str:
    """Publish a new text, and tamper with what its page's closure is in the cache before the worker looks."""
    with stopped(fleet.pid_of("worker-0")):
        cluster = (fleet.clone / "cluster.nix").read_text().replace("else 60000", "else 12000")  # to be told so sooner
        commit = await fleet.commit({"web/index.html": TEXT.format(text), "cluster.nix": cluster})
        await fleet.until(lambda status: status.generations[0].commit == commit, seconds=180)
        cache = fleet.cluster.state.data("cache")
        narinfo = max(cache.rglob("*.narinfo"), key=_written)
        fields = dict(line.split(": ", 1) for line in narinfo.read_text().splitlines() if ": " in line)
        nar = next(cache.rglob(Path(fields["URL"]).name))
        tamper(narinfo, nar)
    return commit


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


def swap_the_nar(_narinfo: Path, nar: Path) -> None:
    said = zstandard.ZstdDecompressor().decompressobj().decompress(nar.read_bytes())
    other = said.replace(b"/nix/store/", b"/nix/stare/")  # a nar still, of the same size
    assert other != said
    nar.write_bytes(zstandard.ZstdCompressor().compress(other))


def sign_by_a_stranger(narinfo: Path, _nar: Path) -> None:
    lines = [line for line in narinfo.read_text().splitlines() if not line.startswith("Sig: ")]
    narinfo.write_text("\n".join([*lines, f"Sig: {OTHER_KEY.sign(b'anything')}", ""]))


@pytest.mark.guest
@pytest.mark.timeout(420)
@pytest.mark.parametrize("tamper", [swap_the_nar, sign_by_a_stranger])
async def test_a_closure_that_was_tampered_with_is_never_booted(tamper: Callable[[Path, Path], None]) -> None:
    async with a_fleet() as fleet:
        before = await fleet.converged(await fleet.first_push())
        commit = await pushed_while_the_worker_sleeps(fleet, "evil", tamper)

        def refused(status: ClusterStatus) -> bool:
            assert "evil" not in vm_of(status, "web-0").reason
            return status.generations[0].state in (RolloutState.ROLLED_BACK, RolloutState.FAILED)

        after = await fleet.until(refused, seconds=180)
        assert "evil" not in await fleet.page("web-0")
        back = await fleet.until(lambda status: all(vm.healthy for vm in status.vms))
        assert processes(back) == processes(before), told(back)
        reason = after.generations[0].reason
        assert any(word in reason.lower() for word in ("sign", "hash", "pull", "nar")), reason
        assert (await fleet.build(commit)).state is BuildState.ROLLED_BACK
