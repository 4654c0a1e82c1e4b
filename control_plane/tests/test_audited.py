"""What people do over the wire is in the audit: with who, from where, and what was refused; secrets are not."""

import hashlib
from pathlib import Path

import pytest
import trio

from control_plane.tests.builders import a_publish, a_spec
from control_plane.tests.live import LiveWorker, running, session, some_settings, until
from schema.blueprint import RolloutPolicy
from schema.errors import BadSignature, PermissionDenied, Unauthenticated
from schema.interfaces import Role, TokenCredential
from schema.operations import AuditEntry
from schema.rpc.client import RemoteMaster, open_session
from schema.rpc.transport.sockets import TcpAddress, UnixAddress
from schema.signing import SecretKey
from schema.status import Convergence

STRANGERS_KEY = SecretKey.from_seed("ci", b"x" * 32)
TOKEN = {"name": "anna", "sha256": hashlib.sha256(b"swordfish").hexdigest(), "role": "viewer"}


async def test_what_is_done_and_what_is_refused_is_written_with_who_and_from_where(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, tokens=[TOKEN])
    async with running(settings) as addresses, trio.open_nursery() as nursery:
        nursery.start_soon(LiveWorker("w0").run, UnixAddress(settings.listen.socket))
        async with session(settings) as master:
            await until(master, lambda status: bool(status.workers))
            publish = a_publish(1, a_spec(), rollout=RolloutPolicy(min_healthy_ms=100))
            await master.publish_state(publish)
            await master.publish_state(publish)
            with pytest.raises(BadSignature):
                await master.publish_state(a_publish(2, a_spec(), key=STRANGERS_KEY))
            await until(master, lambda status: bool(status.vms) and status.convergence is Convergence.CONVERGED)
            vm = await master.get_vm("web-0")
            await vm.exec("psql", ("-c", "alter user x password 'hunter2'"))
            await vm.restart()
            await (await master.get_worker("w0")).update_config("report.interval_ms", "7")
            await refused(addresses["rpc"])
            with trio.fail_after(60):
                while not await of(master, "Gateway.login"):  # noqa: ASYNC110 refusals are noted without waiting
                    await trio.sleep(0.02)
            entries = {entry.action: entry for entry in reversed(await master.list_audit(limit=0, before=0))}
            told = [entry.result.partition(":")[0] for entry in await of(master, "publishState")]
            verdict = await master.verify_audit()
        nursery.cancel_scope.cancel()
    assert told == ["ok", "unchanged", "bad-signature"]
    assert verdict.holds
    assert entries["Vm.exec"].subject == "web-0"
    assert entries["Vm.exec"].new.startswith("psql, 2 arguments, sha256 ")
    assert entries["Vm.exec"].actor == "uid:0"
    assert entries["Vm.restart"].result == "asked"
    assert entries["Worker.updateConfig"].new == "report.interval_ms = 7"
    assert entries["Master.publishState"].result.startswith("permission-denied: role viewer")
    assert entries["Master.publishState"].actor == "token:anna"
    assert entries["Master.publishState"].peer.startswith("127.0.0.1")
    assert entries["Gateway.login"].actor == "stranger"
    for secret in ("hunter2", "swordfish", "marlin"):
        assert secret not in str(entries)


async def of(master: RemoteMaster, action: str) -> list[AuditEntry]:
    entries = await master.list_audit(limit=0, before=0)
    return [entry for entry in reversed(entries) if entry.action == action]


async def refused(rpc: str) -> None:
    """A viewer publishes, and somebody tries a token that there is not."""
    host, _, port = rpc.rpartition(":")
    address = TcpAddress(host, int(port))
    async with open_session(address, Role.VIEWER, credential=TokenCredential("swordfish")) as viewer:
        with pytest.raises(PermissionDenied):
            await viewer.publish_state(a_publish(3, a_spec()))
    with pytest.raises(Unauthenticated):
        async with open_session(address, Role.VIEWER, credential=TokenCredential("marlin")):
            pass
