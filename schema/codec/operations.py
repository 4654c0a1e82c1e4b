"""The tables of the operations' answers: rollouts, holds, workers that joined, tokens, the audit."""

from schema.codec.fields import Choice, ListOf, MapOf, Nested, PlainList, Struct
from schema.codec.reports import GENERATION_STATUS, ROLLOUT_STATE, WORKER_FACTS
from schema.codec.wire import common
from schema.codec.wire import operations as wire
from schema.operations import (
    Admission,
    AuditEntry,
    AuditVerdict,
    Explanation,
    GenerationContent,
    Hold,
    JoinAnswer,
    RolloutStatus,
    TokenInfo,
    WaveState,
    WaveStatus,
    WorkerAdmission,
    WorkerFit,
)

ADMISSION = Choice(Admission, unknown=Admission.PENDING)
TEXTS = MapOf(common.LabelEntry)

WORKER_FIT = Struct(WorkerFit, wire.WorkerFit, lacks=PlainList())
EXPLANATION = Struct(Explanation, wire.Explanation, reasons=PlainList(), workers=ListOf(WORKER_FIT))
WAVE_STATUS = Struct(
    WaveStatus,
    wire.WaveStatus,
    state=Choice(WaveState, unknown=WaveState.WAITING),
    instances=PlainList(),
)
ROLLOUT_STATUS = Struct(
    RolloutStatus,
    wire.RolloutStatus,
    state=ROLLOUT_STATE,
    waves=ListOf(WAVE_STATUS),
    failed=TEXTS,
)
HOLD = Struct(Hold, wire.Hold, vms=PlainList())
WORKER_ADMISSION = Struct(WorkerAdmission, wire.WorkerAdmission, admission=ADMISSION, facts=Nested(WORKER_FACTS))
JOIN_ANSWER = Struct(JoinAnswer, wire.JoinAnswer, admission=ADMISSION)
TOKEN_INFO = Struct(TokenInfo, wire.TokenInfo)
AUDIT_ENTRY = Struct(AuditEntry, wire.AuditEntry)
AUDIT_VERDICT = Struct(AuditVerdict, wire.AuditVerdict)
GENERATION_CONTENT = Struct(
    GenerationContent,
    wire.GenerationContent,
    status=Nested(GENERATION_STATUS),
    specs=TEXTS,
    content=TEXTS,
)
