"""Blueprint v1: the desired cluster as `nix eval --json .#blueprintJSON` yields it, before anything is built."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from schema.names import DnsLabel, FlakeAttribute, StrictModel

MAX_COUNT = 2**32 - 1
"""What a number without a limit of its own may be: the wire carries it in 32 bits."""
LabelKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,63}$")]
Labels = dict[LabelKey, LabelValue]
Port = Annotated[int, Field(ge=1, le=65535)]
Milliseconds = Annotated[int, Field(ge=0, le=7 * 24 * 3600 * 1000)]
Percent = Annotated[int, Field(ge=1, le=100)]
ConnectTarget = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?:[0-9]{1,5}$")]
Domain = Annotated[str, StringConstraints(pattern=r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$")]
HostAddress = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})$")
]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]
MountPoint = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._/-]{1,250}$")]


class MachineRole(StrEnum):
    """What a bare-metal machine does."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


class Machine(StrictModel):
    """A host that modules resolve `services.procurator.worker.master` through."""

    role: MachineRole
    address: HostAddress
    port: Port
    labels: Labels = {}


class OnLoss(StrEnum):
    """What becomes of a volume whose worker is lost."""

    KEEP = "keep"
    RECREATE = "recreate"


class Volume(StrictModel):
    """A raw disk that outlives its VM's processes. `size_mb` is MiB."""

    size_mb: Annotated[int, Field(ge=1, le=64 * 1024 * 1024)]
    mount: MountPoint
    on_loss: OnLoss = OnLoss.KEEP


class EgressMode(StrEnum):
    """What may leave the cluster from a VM."""

    ISOLATED = "isolated"
    ALLOW = "allow"
    OPEN = "open"


class Egress(StrictModel):
    """`domains` go with mode `allow` only: `x.org` is exact, `*.x.org` its subdomains."""

    mode: EgressMode = EgressMode.ISOLATED
    domains: tuple[Domain, ...] = ()

    @model_validator(mode="after")
    def _domains_need_allow(self) -> "Egress":
        if self.domains and self.mode is not EgressMode.ALLOW:
            raise ValueError(f"domains need mode 'allow', not '{self.mode}'")
        return self


class PublishedPort(StrictModel):
    """A port that the VM offers; `publish` is the worker's port that leads to it."""

    name: DnsLabel
    port: Port
    publish: Port | None = None


class Network(StrictModel):
    """What a VM may reach and offers. `connect` names are `vm:port` inside the cluster."""

    nic: bool = True
    egress: Egress = Egress()
    connect: tuple[ConnectTarget, ...] = ()
    ports: tuple[PublishedPort, ...] = ()


class Operator(StrEnum):
    """How a label expression compares."""

    IN = "in"
    NOT_IN = "notIn"
    EXISTS = "exists"


class LabelExpression(StrictModel):
    """A worker fits when its label `key` is in, is not in, or just exists."""

    key: LabelKey
    operator: Operator = Operator.IN
    values: tuple[LabelValue, ...] = ()

    @model_validator(mode="after")
    def _values_fit_operator(self) -> "LabelExpression":
        if (self.operator is Operator.EXISTS) == bool(self.values):
            raise ValueError(f"operator '{self.operator}' {'takes no' if self.values else 'needs'} values")
        return self


class Spread(StrictModel):
    """Replicas differ by at most `max_skew` between the values of label `over`."""

    over: LabelKey
    max_skew: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1


class PlacementPolicy(StrictModel):
    """Where a VM may and would rather run."""

    require: tuple[LabelExpression, ...] = ()
    prefer: tuple[LabelExpression, ...] = ()
    spread: tuple[Spread, ...] = ()
    affinity: tuple[DnsLabel, ...] = ()
    anti_affinity: tuple[DnsLabel, ...] = ()
    priority: Annotated[int, Field(ge=0, le=100)] = 50


class CheckType(StrEnum):
    """Who asks what: tcp and http from the worker, command and readiness inside the guest."""

    TCP = "tcp"
    HTTP = "http"
    COMMAND = "command"
    READINESS = "readiness"


class HealthCheck(StrictModel):
    """One question whose answer says whether the VM does its work."""

    type: CheckType
    port: Port | None = None
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]{0,1000}$")] | None = None
    command: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _fields_fit_type(self) -> "HealthCheck":
        if self.type in (CheckType.TCP, CheckType.HTTP) and self.port is None:
            raise ValueError(f"a {self.type} check needs a port")
        if self.path is not None and self.type is not CheckType.HTTP:
            raise ValueError("only an http check has a path")
        if (self.command is not None) != (self.type is CheckType.COMMAND):
            raise ValueError("a command check, and no other, needs a command")
        return self


class Health(StrictModel):
    """When a VM counts as healthy. Without checks it is healthy when it has run for the rollout's `minHealthyMs`."""

    checks: tuple[HealthCheck, ...] = ()
    interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 2000
    timeout_ms: Annotated[int, Field(ge=50, le=600_000)] = 1000
    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    start_deadline_ms: Annotated[int, Field(ge=1000, le=3_600_000)] = 120_000


class UpdateStrategy(StrEnum):
    """How a running VM becomes the next one."""

    REPLACE = "replace"
    SWITCH = "switch"


class UpdatePolicy(StrictModel):
    """What happens on change and on failure; without `auto_rollback` a failed rollout pauses."""

    strategy: UpdateStrategy = UpdateStrategy.REPLACE
    auto_rollback: bool = True


class Gate(StrEnum):
    """What opens a wave when its turn has come: by itself, or an operator."""

    AUTO = "auto"
    APPROVE = "approve"


class Wave(StrictModel):
    """A part of what a rollout changes that changes together: by labels of its VMs, or its share in percent.

    `delay_ms` and `gate` hold this wave back after the one before it has finished.
    """

    selector: Labels | None = None
    percent: Percent | None = None
    delay_ms: Milliseconds = 0
    gate: Gate = Gate.AUTO

    @model_validator(mode="after")
    def _one_of_both(self) -> "Wave":
        if (self.selector is None) == (self.percent is None):
            raise ValueError("a wave has either a selector or a percent")
        return self


class RolloutPolicy(StrictModel):
    """How a generation replaces the one before it. Times are milliseconds.

    `max_failures` VMs may fail and go back by themselves; `max_parallel` changed ones are not healthy at a time;
    `jitter_ms` is the most that one waits by chance; `allow_shrink` lets it empty the cluster or lose over half of it.
    """

    waves: tuple[Wave, ...] = ()
    min_healthy_ms: Milliseconds = 2000
    max_failures: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0
    max_parallel: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1
    jitter_ms: Milliseconds = 0
    allow_shrink: bool = False


class BlueprintVm(StrictModel):
    """One VM as its author wrote it. `memory_mb` is MiB; `env` is baked into the System."""

    system: FlakeAttribute
    cpu: Annotated[int, Field(ge=1, le=255)]
    memory_mb: Annotated[int, Field(ge=32, le=64 * 1024 * 1024)]
    extras: dict[LabelKey, Annotated[int, Field(ge=1, le=2**53 - 1)]] = {}
    replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    labels: Labels = {}
    singleton: bool = False
    volumes: dict[DnsLabel, Volume] = {}
    network: Network = Network()
    depends_on: tuple[DnsLabel, ...] = ()
    env: dict[VariableName, str] = {}
    placement: PlacementPolicy = PlacementPolicy()
    health: Health = Health()
    update: UpdatePolicy = UpdatePolicy()

    @model_validator(mode="after")
    def _singletons_are_one(self) -> "BlueprintVm":
        if self.replicas > 1 and (self.singleton or self.volumes):
            raise ValueError("a VM with volumes, or a singleton, has one replica")
        return self


MAX_VMS = 10_000
"""VMs of a cluster, before their replicas are counted."""


class Blueprint(StrictModel):
    """The whole desired cluster."""

    schema_version: Literal[1]
    cluster: DnsLabel
    machines: dict[DnsLabel, Machine] = {}
    vms: Annotated[dict[DnsLabel, BlueprintVm], Field(max_length=MAX_VMS)]
    rollout: RolloutPolicy = RolloutPolicy()

    @field_validator("vms")
    @classmethod
    def _instances_are_distinct(cls, vms: dict[str, BlueprintVm]) -> dict[str, BlueprintVm]:
        for name in vms:
            stem, dash, number = name.rpartition("-")
            is_index = number.isdigit() and number == str(int(number))
            if dash and is_index and stem in vms and int(number) < vms[stem].replicas:
                raise ValueError(f"'{name}' is also the name of an instance of '{stem}'")
        return vms

    @model_validator(mode="after")
    def _names_resolve(self) -> "Blueprint":
        for name, vm in self.vms.items():
            for target in (*vm.depends_on, *(entry.partition(":")[0] for entry in vm.network.connect)):
                if target not in self.vms:
                    raise ValueError(f"vms.{name} names the VM '{target}', which does not exist")
        return self
