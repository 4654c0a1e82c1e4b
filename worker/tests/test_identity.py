"""The worker's key and its way in: with a scripted control plane behind the real wire, and as the real program."""

import secrets
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from schema.errors import InvalidInput, PermissionDenied, Unauthenticated
from schema.interfaces import WorkerHello
from schema.operations import Admission
from schema.rpc.client import open_gateway, open_worker_session
from schema.rpc.transport.sockets import UnixAddress
from schema.signing import SecretKey
from schema.status import VmPhase, WorkerFacts, WorkerReport
from schema.tests.processes import is_running
from schema.tests.rpc.cluster import MemoryWorker
from worker.identity import KEY_FILE, Door, Wire, own_key, read_token
from worker.tests.fake_control_plane import KEY, FakeControlPlane, Wanted, serving
from worker.tests.real_nix import KEY as CI_KEY
from worker.tests.running import RunningWorker, a_worker

NEW_KEY = SecretKey.from_seed("control-plane-2", b"\x04" * 32)
NEW_CI = SecretKey.from_seed("ci-2", b"\x05" * 32)
HELLO = WorkerHello("w-0", WorkerFacts(cpu=4, memory_mb=1024, location="rack 3"))


def a_key(state: Path, worker_id: str = "w-0") -> SecretKey:
    return own_key(state, worker_id=worker_id, draw=secrets.token_bytes)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = a_key(tmp_path)
    assert first.name == "w-0"
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert a_key(tmp_path) == first
    assert {path.name for path in tmp_path.iterdir()} == {KEY_FILE}


def test_a_key_that_cannot_be_used_is_told_and_kept_as_it_is(tmp_path: Path) -> None:
    a_key(tmp_path)
    path = tmp_path / KEY_FILE
    with pytest.raises(InvalidInput, match="is the key of worker 'w-0', and the settings name 'w-1'"):
        a_key(tmp_path, "w-1")
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="mode 0640, so others can read it"):
        a_key(tmp_path)
    path.chmod(0o600)
    path.write_text("w-0:rubbish")
    with pytest.raises(InvalidInput, match="not base64"):
        a_key(tmp_path)
    assert path.read_text() == "w-0:rubbish"


def test_a_join_token_is_read_where_there_is_one_and_only_its_owner_may(tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert read_token(None) == read_token(path) == ""
    path.write_text("pcr_abc\n")
    path.chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600") as refused:
        read_token(path)
    assert "pcr_abc" not in refused.value.message
    path.chmod(0o600)
    assert read_token(path) == "pcr_abc"


@asynccontextmanager
async def a_door(home: Path, *, token_file: Path | None = None) -> AsyncIterator[tuple[FakeControlPlane, Door]]:
    control_plane, address = FakeControlPlane(publisher=CI_KEY), UnixAddress(home / "cp.sock")
    async with serving(control_plane, address.path):
        yield (
            control_plane,
            Door(
                Wire(
                    gateway=lambda: open_gateway(address),
                    session=lambda prove: open_worker_session(address, HELLO, MemoryWorker(), prove),
                ),
                key=a_key(home),
                realm="default",
                hello=lambda: HELLO,
                token_file=token_file,
                wall_ms=lambda: 1_700_000_000_000,
            ),
        )


async def test_it_asks_until_it_is_let_in_and_then_only_logs_in(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("pcr_abc")
    async with a_door(tmp_path, token_file=token) as (control_plane, door):
        control_plane.admission = Admission.PENDING
        for _ in range(2):
            with pytest.raises(PermissionDenied, match="pcr worker approve w-0"):
                async with door.session():
                    pass
        assert door.fingerprint in door.reason
        assert door.admission is Admission.PENDING
        control_plane.admission = Admission.APPROVED
        for _ in range(2):
            async with door.session() as session:
                await session.push_data(WorkerReport(worker_id="w-0"))
                assert door.reason == ""
        assert (len(control_plane.asked), control_plane.logins) == (3, 2)
        hello, key, shown = control_plane.asked[0]
        assert (hello, key, shown) == (HELLO, str(a_key(tmp_path).public), "pcr_abc")


@pytest.mark.parametrize(
    ("admission", "told"),
    [(Admission.REJECTED, "was rejected: whose is it"), (Admission.RETIRED, "was retired: whose is it")],
)
async def test_what_was_decided_against_it_is_told_with_the_reason(
    tmp_path: Path, admission: Admission, told: str
) -> None:
    async with a_door(tmp_path) as (control_plane, door):
        control_plane.admission, control_plane.why = admission, "whose is it"
        with pytest.raises(PermissionDenied, match=told):
            async with door.session():
                pass
        assert door.admission is admission


async def test_a_worker_that_is_taken_out_while_it_works_asks_again(tmp_path: Path) -> None:
    async with a_door(tmp_path) as (control_plane, door):
        with pytest.raises(BaseExceptionGroup) as ended:
            async with door.session(), trio.open_nursery():
                raise Unauthenticated("the session is over")
        assert ended.group_contains(Unauthenticated)
        assert door.admission is None
        assert door.reason == "the session is over"
        async with door.session():
            assert door.admission is Admission.APPROVED
        assert len(control_plane.asked) == 2


async def pinged(client: httpx.AsyncClient, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first answer of `/ping` that `holds`."""
    with trio.fail_after(60):
        while True:
            told: dict[str, Any] = (await client.get("/ping")).json()
            if holds(told):
                return told
            await trio.sleep(0.05)


async def logged(worker: RunningWorker, text: str) -> None:
    with trio.fail_after(60):
        while True:
            if text in worker.log:
                return
            await trio.sleep(0.05)


async def test_the_program_waits_to_be_let_in_and_shows_its_fingerprint(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        control_plane = worker.control_plane
        with trio.fail_after(60):
            while not control_plane.logins:
                await control_plane.changed.wait()
        control_plane.admission = Admission.PENDING
        await worker.end()
        await worker.start()
        fingerprint = a_key(worker.state).public.fingerprint
        async with httpx.AsyncClient(base_url=f"http://{worker.http()}", trust_env=False, timeout=30) as client:
            told = await pinged(client, lambda told: told["admission"] == "pending")
            assert (told["connected"], told["fingerprint"]) == (False, fingerprint)
            assert fingerprint in told["reason"]
            control_plane.admission = Admission.APPROVED
            told = await pinged(client, lambda told: told["connected"])
            assert (told["admission"], told["reason"]) == ("approved", "")
        assert "pcr worker approve w-0" in worker.log
        assert a_key(worker.state).reveal().partition(":")[2] not in worker.log


async def pinned(
    worker: RunningWorker, control_plane: tuple[SecretKey, ...], publishers: tuple[SecretKey, ...]
) -> None:
    """Start the agent anew with other pins: it reads them at its start only."""
    socket = str(worker.home / "cp.sock")
    worker.settings["control_plane"] = {"socket": socket, "public_keys": [str(key.public) for key in control_plane]}
    worker.settings["publishers"] = {"public_keys": [str(key.public) for key in publishers]}
    await worker.end()
    worker.write_config()
    worker.control_plane.reports.clear()
    await worker.start()


async def test_both_keys_are_rotated_while_a_vm_runs_on(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp, spec = worker.control_plane, worker.a_published_spec()

        async def still_healthy(revision: int) -> None:
            found = await cp.until(
                lambda vms: vms["web-0"].phase is VmPhase.HEALTHY and cp.reports[-1].revision == revision
            )
            assert found["web-0"].pid == pid
            assert is_running(pid)

        cp.assign(Wanted("web-0", spec))
        pid = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"].pid
        await pinned(worker, (KEY, NEW_KEY), (CI_KEY, NEW_CI))
        await still_healthy(1)
        cp.signer, cp.publisher = NEW_KEY, NEW_CI
        cp.assign(Wanted("web-0", spec, generation=2))
        await still_healthy(2)
        await pinned(worker, (NEW_KEY,), (NEW_CI,))
        await still_healthy(2)
        cp.signer = KEY
        cp.assign()
        await logged(worker, "signed by the unknown key 'control-plane-1' (pinned: control-plane-2)")
        assert is_running(pid), "what is not believed stops nothing"


async def test_a_pin_that_was_dropped_too_early_touches_no_vm(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as worker:
        cp, spec = worker.control_plane, worker.a_published_spec()
        cp.assign(Wanted("web-0", spec))
        pid = (await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY))["web-0"].pid
        await pinned(worker, (NEW_KEY,), (CI_KEY,))
        await logged(worker, "the kept assignment is not obeyed")
        cp.signer = NEW_KEY
        cp.assign(Wanted("web-0", spec))
        found = await cp.until(lambda vms: vms["web-0"].phase is VmPhase.HEALTHY and cp.reports[-1].revision == 2)
        assert found["web-0"].pid == pid
