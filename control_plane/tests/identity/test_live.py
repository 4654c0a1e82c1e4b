"""Who gets in, over the real sockets of the real program, and what a credential that is taken away still reaches."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import trio

from control_plane.settings import Settings
from control_plane.tests.builders import a_publish, a_spec, key_of, some_facts
from control_plane.tests.live import (
    LiveWorker,
    ask_in,
    proving,
    running,
    session,
    some_settings,
    until,
    worker_session,
)
from schema.blueprint import RolloutPolicy
from schema.errors import Conflict, NotFound, PermissionDenied, ProcuratorError, Unauthenticated
from schema.interfaces import Role, TokenCredential, WorkerHello, WorkerProof
from schema.operations import Admission
from schema.rpc.client import open_gateway, open_session, open_worker_session
from schema.rpc.transport.sockets import Address, UnixAddress, parse_address
from schema.signing import SecretKey
from schema.status import WorkerReport
from schema.tests.certificates import certificates

NEW_KEY = SecretKey.from_seed("w0", b"n" * 32)
HELLO = WorkerHello("w0", some_facts())


def manual(state: Path, policy: str = "manual", **fields: Any) -> tuple[Settings, UnixAddress]:
    settings = some_settings(state, workers={"policy": policy}, **fields)
    return settings, UnixAddress(settings.listen.socket)


async def log_in(address: Address, *, key: SecretKey | None = None, hello: WorkerHello = HELLO) -> None:
    """Log in, ask for the assignment, and leave."""
    prove = proving(key or key_of(hello.worker_id))
    async with open_worker_session(address, hello, LiveWorker(hello.worker_id), prove) as own:
        await own.get_assignment(None)


async def why_not(address: Address, **how: Any) -> ProcuratorError:
    with pytest.raises(ProcuratorError) as refused:
        await log_in(address, **how)
    return refused.value


async def test_a_worker_waits_works_and_is_taken_out_for_good(tmp_path: Path) -> None:
    settings, address = manual(tmp_path)
    async with running(settings), session(settings) as master:
        assert await why_not(address) == Unauthenticated("worker 'w0' is not known here: it has to ask to join")
        assert (await ask_in(address, HELLO)).admission is Admission.PENDING
        assert (await ask_in(address, HELLO)).admission is Admission.PENDING
        assert await why_not(address) == PermissionDenied("worker 'w0' is pending")
        (asked,) = await master.list_workers()
        assert (asked.fingerprint, asked.facts) == (key_of("w0").public.fingerprint, some_facts())
        assert (await master.get_cluster_status()).workers == (), "who waits is no part of the cluster"
        await master.approve_worker("w0")
        async with open_worker_session(address, HELLO, LiveWorker("w0"), proving(key_of("w0"))) as own:
            await own.push_data(WorkerReport(worker_id="w0"))
            await master.retire_worker("w0", reason="sold")
            with pytest.raises(Unauthenticated, match="the session is over"):
                await own.push_data(WorkerReport(worker_id="w0"))
        refused = await why_not(address)
        assert "was retired: sold" in refused.message
        assert (await ask_in(address, HELLO)).admission is Admission.RETIRED
        assert (await master.get_cluster_status()).workers == ()
        assert (await ask_in(address, HELLO, key=NEW_KEY)).admission is Admission.PENDING
        await master.approve_worker("w0")
        await log_in(address, key=NEW_KEY)
        assert "was retired" in (await why_not(address)).message


async def test_who_is_in_and_who_is_not_survives_a_restart(tmp_path: Path) -> None:
    settings, address = manual(tmp_path)
    async with running(settings), session(settings) as master:
        for worker_id in ("w0", "w1", "w2"):
            await ask_in(address, WorkerHello(worker_id, some_facts()))
        await master.approve_worker("w0")
        await master.reject_worker("w1", reason="whose is it?")
        await master.approve_worker("w2")
        await master.retire_worker("w2", reason="")
        secret = await master.create_token("ops", role=Role.OPERATOR, lasts_ms=0)
    async with running(settings) as addresses, session(settings) as master:
        await log_in(address)
        assert "rejected: whose is it?" in (await why_not(address, hello=WorkerHello("w1", some_facts()))).message
        assert "was retired" in (await why_not(address, hello=WorkerHello("w2", some_facts()))).message
        found = {worker.worker_id: worker.admission for worker in await master.list_workers()}
        assert found == {"w0": Admission.APPROVED, "w1": Admission.REJECTED, "w2": Admission.RETIRED}
        async with open_session(parse_address(addresses["rpc"]), Role.OPERATOR, TokenCredential(secret)) as operator:
            await operator.get_cluster_status()


async def test_a_recorded_login_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    address, recorded = UnixAddress(settings.listen.socket), list[WorkerProof]()

    def recording(challenge: Any) -> WorkerProof:
        recorded.append(proving(key_of("w0"))(challenge))
        return recorded[-1]

    async def replay(proof: WorkerProof) -> str:
        with pytest.raises(Unauthenticated) as refused:
            async with open_worker_session(address, HELLO, LiveWorker("w0"), proof):
                pass
        return refused.value.message

    async with running(settings):
        await ask_in(address, HELLO)
        async with open_worker_session(address, HELLO, LiveWorker("w0"), recording):
            pass
        (proof,) = recorded
        assert "a replay" in await replay(proof)
        assert "does not match its content" in await replay(dataclasses.replace(proof, time_ms=proof.time_ms + 1))
        ahead = proof.time_ms + 3_600_000

        def fast(challenge: Any) -> WorkerProof:
            return proving(key_of("w0"))(dataclasses.replace(challenge, server_time_ms=ahead))

        with pytest.raises(Unauthenticated, match=r"its clock is 3[0-9]{3} s ahead of"):
            async with open_worker_session(address, HELLO, LiveWorker("w0"), fast):
                pass
    async with running(settings):
        assert "before the control plane's last start" in await replay(proof)


async def test_a_stolen_key_reads_and_reports_only_its_own(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    address, other = UnixAddress(settings.listen.socket), WorkerHello("w1", some_facts())
    async with running(settings) as addresses, session(settings) as master:
        await ask_in(address, other)
        await log_in(address, hello=other)
        thief = proving(key_of("w0"))
        async with worker_session(address, HELLO, LiveWorker("w0")) as own:
            with pytest.raises(PermissionDenied, match=r"'w0'.* not 'w1'"):
                await own.push_data(WorkerReport(worker_id="w1"))
            own._worker_id = "w1"
            with pytest.raises(PermissionDenied, match=r"'w0'.* not 'w1'"):
                await own.get_assignment(None)
        with pytest.raises(Unauthenticated, match="its key is named 'w0'"):
            async with open_worker_session(address, other, LiveWorker("w1"), thief):
                pass
        renamed = SecretKey.from_seed("w1", key_of("w0").seed)
        with pytest.raises(Unauthenticated, match="known by another key"):
            await log_in(address, hello=other, key=renamed)
        with pytest.raises(Conflict, match="approved with another key"):
            await ask_in(address, other, key=renamed)
        for role in (Role.VIEWER, Role.PUBLISHER, Role.OPERATOR, Role.ADMIN):
            async with open_gateway(parse_address(addresses["rpc"])) as gateway:
                proof = await gateway.prove("w0", thief, 30)
            with pytest.raises(ProcuratorError):
                async with open_session(address, role, proof):
                    pass
        await until(master, lambda status: not any(worker.connected for worker in status.workers))


async def test_a_join_token_lets_one_machine_in_over_tls_and_no_second(tmp_path: Path) -> None:
    known = certificates(tmp_path, name="control-plane.test")
    known.server.key.chmod(0o600)
    tls = {"certificate": str(known.server.certificate), "key": str(known.server.key)}
    settings, socket = manual(tmp_path, "token", tls=tls)
    async with running(settings) as addresses, session(settings) as master:
        far = parse_address(addresses["rpc"], tls=known.client)
        secret = await master.create_join_token(worker_id="w0")
        assert (await ask_in(far, HELLO, token=secret)).admission is Admission.APPROVED
        await log_in(far)
        with pytest.raises(PermissionDenied, match="used already, by worker 'w0'"):
            await ask_in(far, WorkerHello("w1", some_facts()), token=secret)
        with pytest.raises(PermissionDenied, match="not known here"):
            await ask_in(far, WorkerHello("w1", some_facts()), token="guess")
        assert (await ask_in(far, WorkerHello("w1", some_facts()))).admission is Admission.PENDING
        with pytest.raises(ProcuratorError):
            await log_in(parse_address(addresses["rpc"]))
        entries = await master.list_audit(limit=0, before=0)
        assert not any(secret in repr(entry) for entry in entries)
    settings, socket = manual(tmp_path)
    async with running(settings), session(settings) as master:
        with pytest.raises(Conflict, match="policy is manual"):
            await master.create_join_token(worker_id="w0")
        await log_in(socket)


async def test_a_revoked_token_loses_what_it_holds(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    address = UnixAddress(settings.listen.socket)
    async with running(settings) as addresses, session(settings) as master, trio.open_nursery() as nursery:
        nursery.start_soon(LiveWorker("w0").run, address)
        await master.publish_state(a_publish(1, a_spec(), rollout=RolloutPolicy(min_healthy_ms=50)))
        await until(master, lambda status: bool(status.vms) and status.vms[0].healthy)
        secret = await master.create_token("ops", role=Role.OPERATOR, lasts_ms=60_000)
        assert secret.startswith("pcr_")
        assert secret not in (tmp_path / "state.sqlite").read_bytes().decode(errors="replace")
        async with open_session(parse_address(addresses["rpc"]), Role.OPERATOR, TokenCredential(secret)) as operator:
            vm, machine = await operator.get_vm("web-0"), await operator.get_worker("w0")
            assert (await vm.read()).instance == "web-0"
            await master.revoke_token("ops")
            for call in (vm.read, vm.restart, machine.read, machine.get_config, operator.get_cluster_status):
                with pytest.raises(Unauthenticated, match="revoked or has expired"):
                    await call()
        with pytest.raises(Unauthenticated):
            async with open_session(parse_address(addresses["rpc"]), Role.VIEWER, TokenCredential(secret)):
                pass
        (info,) = await master.list_tokens()
        assert (info.name, info.role, info.revoked, info.created_by) == ("ops", "operator", True, "uid:0")
        with pytest.raises(NotFound):
            await master.revoke_token("nobody")
        nursery.cancel_scope.cancel()


async def test_what_is_decided_about_people_and_workers_is_in_the_audit(tmp_path: Path) -> None:
    settings, address = manual(tmp_path)
    async with running(settings), session(settings) as master:
        await ask_in(address, HELLO)
        await master.approve_worker("w0")
        with pytest.raises(Conflict):
            await master.reject_worker("w0", reason="too late")
        await master.retire_worker("w0", reason="sold")
        await master.create_token("ops", role=Role.VIEWER, lasts_ms=0)
        await master.revoke_token("ops")
        entries = list(await master.list_audit(limit=0, before=0))[::-1]
        assert [(entry.actor, entry.action, entry.subject, entry.old, entry.new) for entry in entries] == [
            ("worker:w0", "join", "w0", "", key_of("w0").public.fingerprint),
            ("uid:0", "approveWorker", "w0", "pending", "approved"),
            ("uid:0", "rejectWorker", "w0", "approved", "approved: too late"),
            ("uid:0", "retireWorker", "w0", "approved", "retired: sold"),
            ("uid:0", "createToken", "ops", "", "role viewer, until revoked"),
            ("uid:0", "revokeToken", "ops", "", "revoked"),
        ]
        assert [entry.result.partition(":")[0] for entry in entries] == ["ok", "ok", "conflict", "ok", "ok", "ok"]
        assert all(entry.peer.startswith("unix:uid 0 pid ") for entry in entries)
        assert (await master.verify_audit()).holds
