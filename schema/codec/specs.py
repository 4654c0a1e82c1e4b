"""The tables of VmSpec and RolloutPolicy, field kind by field kind."""

from schema.blueprint import (
    CheckType,
    Egress,
    EgressMode,
    Gate,
    Health,
    HealthCheck,
    LabelExpression,
    Network,
    OnLoss,
    Operator,
    PlacementPolicy,
    PublishedPort,
    RolloutPolicy,
    Spread,
    UpdatePolicy,
    UpdateStrategy,
    Volume,
    Wave,
)
from schema.codec.fields import (
    Choice,
    ListOf,
    MapOf,
    Nested,
    Nullable,
    PlainList,
    SealedStruct,
    Struct,
    ZeroIsNone,
)
from schema.codec.wire import common
from schema.vmspec import VmSpec

LABELS = MapOf(common.LabelEntry)
COUNTS = MapOf(common.CountEntry)

VOLUME = Struct(Volume, common.Volume, on_loss=Choice(OnLoss, unknown=OnLoss.KEEP))
EGRESS = Struct(Egress, common.Egress, mode=Choice(EgressMode, unknown=EgressMode.ISOLATED), domains=PlainList())
PUBLISHED_PORT = Struct(PublishedPort, common.PublishedPort, publish=ZeroIsNone())
NETWORK = Struct(Network, common.Network, egress=Nested(EGRESS), connect=PlainList(), ports=ListOf(PUBLISHED_PORT))
LABEL_EXPRESSION = Struct(
    LabelExpression,
    common.LabelExpression,
    operator=Choice(Operator, unknown=Operator.IN),
    values=PlainList(),
)
SPREAD = Struct(Spread, common.Spread)
PLACEMENT = Struct(
    PlacementPolicy,
    common.PlacementPolicy,
    require=ListOf(LABEL_EXPRESSION),
    prefer=ListOf(LABEL_EXPRESSION),
    spread=ListOf(SPREAD),
    affinity=PlainList(),
    anti_affinity=PlainList(),
)
HEALTH_CHECK = Struct(
    HealthCheck,
    common.HealthCheck,
    type=Choice(CheckType, unknown=CheckType.TCP),
    port=ZeroIsNone(),
    path=Nullable(),
    command=Nullable(PlainList()),
)
HEALTH = Struct(Health, common.Health, checks=ListOf(HEALTH_CHECK))
UPDATE = Struct(
    UpdatePolicy,
    common.UpdatePolicy,
    strategy=Choice(UpdateStrategy, unknown=UpdateStrategy.REPLACE),
)
VM_SPEC = Struct(
    VmSpec,
    common.VmSpec,
    disk_image_path=Nullable(),
    extras=COUNTS,
    labels=LABELS,
    volumes=MapOf(common.VolumeEntry, VOLUME),
    network=Nested(NETWORK),
    depends_on=PlainList(),
    env=LABELS,
    placement=Nested(PLACEMENT),
    health=Nested(HEALTH),
    update=Nested(UPDATE),
)
WAVE = Struct(
    Wave,
    common.Wave,
    selector=Nullable(LABELS),
    percent=ZeroIsNone(),
    gate=Choice(Gate, unknown=Gate.AUTO),
)
ROLLOUT = Struct(RolloutPolicy, common.RolloutPolicy, waves=ListOf(WAVE))

SEALED_VM_SPEC = SealedStruct(VM_SPEC)
SEALED_ROLLOUT = SealedStruct(ROLLOUT)
