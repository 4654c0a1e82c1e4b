"""The operations that people ask of a control plane, both ends: what `RemoteMaster` asks and what a `Master` answers.

The path itself (publish, assignments, reports, status, watch) is in `client.py` and `server.py`; rights are in front.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from schema.codec.fields import Struct, wire_name, writing
from schema.codec.operations import (
    AUDIT_ENTRY,
    AUDIT_VERDICT,
    EXPLANATION,
    GENERATION_CONTENT,
    HOLD,
    ROLLOUT_STATUS,
    TOKEN_INFO,
    WORKER_ADMISSION,
)
from schema.codec.reports import GENERATION_STATUS
from schema.codec.sessions import ROLE
from schema.errors import InvalidInput
from schema.interfaces import Master, Role
from schema.operations import (
    AuditEntry,
    AuditVerdict,
    Explanation,
    GenerationContent,
    Hold,
    RolloutStatus,
    TokenInfo,
    WorkerAdmission,
)
from schema.rpc.handlers import method, no_results
from schema.rpc.remote import Remote, ignore
from schema.rpc.transport.calls import Handler
from schema.status import GenerationStatus

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


class RemoteOperations(Remote):
    """The operations of a Master at the other side."""

    async def _do(self, method: str, read: Callable[[Any], R], **arguments: Any) -> R:
        request = self._request(method)
        with writing(method):
            for name, value in arguments.items():
                setattr(request, wire_name(name), value)
        return await self._ask(request, read)

    async def explain(self, vm_id: str) -> Explanation:
        """As the Protocol."""
        return await self._do("explain", EXPLANATION.read, vm_id=vm_id)

    async def list_generations(self, *, limit: int, before: int) -> tuple[GenerationStatus, ...]:
        """As the Protocol."""
        read = partial(_read_list, "generations", GENERATION_STATUS)
        return await self._do("listGenerations", read, limit=limit, before=before)

    async def get_generation(self, number: int) -> GenerationContent:
        """As the Protocol."""
        return await self._do("getGeneration", lambda reply: GENERATION_CONTENT.read(reply.content), number=number)

    async def list_rollouts(self, *, limit: int, before: int) -> tuple[RolloutStatus, ...]:
        """As the Protocol."""
        return await self._do(
            "listRollouts", partial(_read_list, "rollouts", ROLLOUT_STATUS), limit=limit, before=before
        )

    async def pause_rollout(self, generation: int, *, reason: str) -> None:
        """As the Protocol."""
        await self._do("pauseRollout", ignore, generation=generation, reason=reason)

    async def resume_rollout(self, generation: int) -> None:
        """As the Protocol."""
        await self._do("resumeRollout", ignore, generation=generation)

    async def promote_rollout(self, generation: int) -> None:
        """As the Protocol."""
        await self._do("promoteRollout", ignore, generation=generation)

    async def abort_rollout(self, generation: int, *, reason: str) -> None:
        """As the Protocol."""
        await self._do("abortRollout", ignore, generation=generation, reason=reason)

    async def hold(self, vms: tuple[str, ...], generation: int, *, reason: str) -> Hold:
        """As the Protocol."""
        return await self._do(
            "hold", lambda reply: HOLD.read(reply.hold), vms=list(vms), generation=generation, reason=reason
        )

    async def lift_hold(self, hold_id: str) -> None:
        """As the Protocol."""
        await self._do("liftHold", ignore, id=hold_id)

    async def list_holds(self) -> tuple[Hold, ...]:
        """As the Protocol."""
        return await self._do("listHolds", partial(_read_list, "holds", HOLD))

    async def cordon_worker(self, worker_id: str, *, cordoned: bool, reason: str) -> None:
        """As the Protocol."""
        await self._do("cordonWorker", ignore, worker_id=worker_id, cordoned=cordoned, reason=reason)

    async def drain_worker(self, worker_id: str, *, deadline_ms: int, reason: str) -> None:
        """As the Protocol."""
        await self._do("drainWorker", ignore, worker_id=worker_id, deadline_ms=deadline_ms, reason=reason)

    async def release_volume(self, instance: str, *, volume: str) -> None:
        """As the Protocol."""
        await self._do("releaseVolume", ignore, instance=instance, volume=volume)

    async def list_workers(self) -> tuple[WorkerAdmission, ...]:
        """As the Protocol."""
        return await self._do("listWorkers", partial(_read_list, "workers", WORKER_ADMISSION))

    async def approve_worker(self, worker_id: str) -> None:
        """As the Protocol."""
        await self._do("approveWorker", ignore, worker_id=worker_id)

    async def reject_worker(self, worker_id: str, *, reason: str) -> None:
        """As the Protocol."""
        await self._do("rejectWorker", ignore, worker_id=worker_id, reason=reason)

    async def retire_worker(self, worker_id: str, *, reason: str) -> None:
        """As the Protocol."""
        await self._do("retireWorker", ignore, worker_id=worker_id, reason=reason)

    async def create_join_token(self, *, worker_id: str) -> str:
        """As the Protocol."""
        return await self._do("createJoinToken", _secret, worker_id=worker_id)

    async def create_token(self, name: str, *, role: Role, lasts_ms: int) -> str:
        """As the Protocol."""
        return await self._do("createToken", _secret, name=name, role=ROLE.number(role), lasts_ms=lasts_ms)

    async def list_tokens(self) -> tuple[TokenInfo, ...]:
        """As the Protocol."""
        return await self._do("listTokens", partial(_read_list, "tokens", TOKEN_INFO))

    async def revoke_token(self, name: str) -> None:
        """As the Protocol."""
        await self._do("revokeToken", ignore, name=name)

    async def list_audit(self, *, limit: int, before: int) -> tuple[AuditEntry, ...]:
        """As the Protocol."""
        return await self._do("listAudit", partial(_read_list, "entries", AUDIT_ENTRY), limit=limit, before=before)

    async def verify_audit(self) -> AuditVerdict:
        """As the Protocol."""
        return await self._do("verifyAudit", lambda reply: AUDIT_VERDICT.read(reply.verdict))


def _read_list(field: str, table: Struct[M], reply: Any) -> tuple[M, ...]:
    return tuple(table.read(item) for item in getattr(reply, field))


def _secret(reply: Any) -> str:
    return str(reply.secret)


def operation_handlers(master: Master) -> dict[str, Handler]:
    """Handlers of the operations, by the method's wire name, that call `master`."""
    page = ("limit", "before")
    return {
        "explain": _operation(master.explain, "vm_id", write=EXPLANATION.write),
        "listGenerations": _operation(
            master.list_generations, named=page, write=_list_of("generations", GENERATION_STATUS)
        ),
        "getGeneration": _operation(master.get_generation, "number", write=_one("content", GENERATION_CONTENT)),
        "listRollouts": _operation(master.list_rollouts, named=page, write=_list_of("rollouts", ROLLOUT_STATUS)),
        "pauseRollout": _operation(master.pause_rollout, "generation", named=("reason",)),
        "resumeRollout": _operation(master.resume_rollout, "generation"),
        "promoteRollout": _operation(master.promote_rollout, "generation"),
        "abortRollout": _operation(master.abort_rollout, "generation", named=("reason",)),
        "hold": _operation(master.hold, "vms", "generation", named=("reason",), write=_one("hold", HOLD)),
        "liftHold": _operation(master.lift_hold, "id"),
        "listHolds": _operation(master.list_holds, write=_list_of("holds", HOLD)),
        "cordonWorker": _operation(master.cordon_worker, "worker_id", named=("cordoned", "reason")),
        "drainWorker": _operation(master.drain_worker, "worker_id", named=("deadline_ms", "reason")),
        "releaseVolume": _operation(master.release_volume, "instance", named=("volume",)),
        "listWorkers": _operation(master.list_workers, write=_list_of("workers", WORKER_ADMISSION)),
        "approveWorker": _operation(master.approve_worker, "worker_id"),
        "rejectWorker": _operation(master.reject_worker, "worker_id", named=("reason",)),
        "retireWorker": _operation(master.retire_worker, "worker_id", named=("reason",)),
        "createJoinToken": _operation(master.create_join_token, named=("worker_id",), write=_write_secret),
        "createToken": _operation(master.create_token, "name", named=("role", "lasts_ms"), write=_write_secret),
        "listTokens": _operation(master.list_tokens, write=_list_of("tokens", TOKEN_INFO)),
        "revokeToken": _operation(master.revoke_token, "name"),
        "listAudit": _operation(master.list_audit, named=page, write=_list_of("entries", AUDIT_ENTRY)),
        "verifyAudit": _operation(master.verify_audit, write=_one("verdict", AUDIT_VERDICT)),
    }


def _operation(
    target: Callable[..., Coroutine[Any, Any, R]],
    *positional: str,
    named: tuple[str, ...] = (),
    write: Callable[[Any, Any], None] = no_results,
) -> Handler:
    """A handler that calls `target` with the parameters of these names."""

    def read(params: Any) -> tuple[list[Any], dict[str, Any]]:
        return [_argument(params, name) for name in positional], {name: _argument(params, name) for name in named}

    def call(arguments: tuple[list[Any], dict[str, Any]]) -> Coroutine[Any, Any, R]:
        return target(*arguments[0], **arguments[1])

    return method(read=read, call=call, write=write, target=target)


def _argument(params: Any, name: str) -> Any:
    value = getattr(params, wire_name(name))
    if name == "vms":
        return tuple(value)
    if name == "role":
        if value.raw >= len(ROLE.members):
            raise InvalidInput("this role is not known here")
        return ROLE.member(value.raw)
    return value


def _list_of(field: str, table: Struct[M]) -> Callable[[Any, tuple[M, ...]], None]:
    def write(results: Any, values: tuple[M, ...]) -> None:
        items = results.init(field, len(values))
        for at, value in enumerate(values):
            table.write(items[at], value)

    return write


def _one(field: str, table: Struct[M]) -> Callable[[Any, M], None]:
    def write(results: Any, value: M) -> None:
        table.write(results.init(field), value)

    return write


def _write_secret(results: Any, secret: str) -> None:
    results.secret = secret
