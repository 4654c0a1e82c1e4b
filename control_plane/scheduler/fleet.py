"""The workers as columns: what each can hold and which labels it has; what is used of them is the ledger's.

Workers are numbered in the order of their names, so that the first of equals is always the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from control_plane.scheduler.addresses import ADDRESSES
from control_plane.state import Resources, Snapshot, WorkerRecord
from schema.blueprint import LabelExpression, Operator

Amounts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

VIRTUAL_CPU = "vCPUs"
MEMORY = "MiB of memory"
DISK = "MiB of disk"
ADDRESS = "address"
BASIC = (VIRTUAL_CPU, MEMORY, DISK, ADDRESS)
CPU_ROW, MEMORY_ROW, DISK_ROW, ADDRESS_ROW = range(4)
UNTOLD = 2**50
"""The disk of a worker whose facts do not say how much it has: it is not counted there. MiB."""
MOST = 2**50
"""Of anything: what a worker says beyond it is not believed, and sums of it stay exact."""
NO_DOMAIN = -1


@dataclass(frozen=True, slots=True)
class Overcommit:
    """How much is placed for each unit that a worker has. Memory stays at 1 unless it is set."""

    cpu: float = 4.0
    memory: float = 1.0


DEFAULT_OVERCOMMIT = Overcommit()


@dataclass(frozen=True, slots=True)
class Domains:
    """The values of one label over the workers, and which of them each worker has (NO_DOMAIN: none)."""

    values: tuple[str, ...]
    codes: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers. `kinds` names the rows of `capacity` (the named extras come last), its columns are the workers."""

    records: tuple[WorkerRecord, ...]
    overcommit: Overcommit
    kinds: tuple[str, ...]
    capacity: Amounts
    position: Mapping[str, int]
    prefixes: tuple[str, ...]
    _masks: dict[tuple[str, str, tuple[str, ...]], Mask] = field(default_factory=dict, compare=False)
    _domains: dict[str, Domains] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        """How many workers there are."""
        return len(self.records)

    def name(self, position: int) -> str:
        """The worker in a column."""
        return self.records[position].worker_id

    def amounts(self, resources: Resources, *, addresses: int = 1) -> tuple[int, ...]:
        """`resources` as one number for each row; extras that no worker has are left out."""
        extras = dict(resources.extras)
        named = (extras.get(kind, 0) for kind in self.kinds[len(BASIC) :])
        return (resources.cpu, resources.memory_mb, resources.disk_mb, addresses, *named)

    def satisfying(self, expression: LabelExpression) -> Mask:
        """The workers whose labels satisfy `expression`."""
        key = (expression.key, expression.operator.value, expression.values)
        if key not in self._masks:
            found = (satisfies(record.facts.labels, expression) for record in self.records)
            self._masks[key] = np.fromiter(found, dtype=np.bool_, count=len(self))
        return self._masks[key]

    def domains(self, label: str) -> Domains:
        """The workers by their value of `label`."""
        if label not in self._domains:
            values = [record.facts.labels.get(label) for record in self.records]
            known = tuple(sorted({value for value in values if value is not None}))
            number = {value: code for code, value in enumerate(known)}
            codes = [NO_DOMAIN if value is None else number[value] for value in values]
            self._domains[label] = Domains(known, np.array(codes, dtype=np.intp))
        return self._domains[label]


def satisfies(labels: Mapping[str, str], expression: LabelExpression) -> bool:
    """Whether a worker with `labels` fits. A missing label is in nothing, so `notIn` holds for it."""
    value = labels.get(expression.key)
    match expression.operator:
        case Operator.EXISTS:
            return value is not None
        case Operator.IN:
            return value in expression.values
        case Operator.NOT_IN:
            return value not in expression.values


def fleet_of(snapshot: Snapshot, overcommit: Overcommit) -> Fleet:
    """The fleet of `snapshot`, the last one again where no worker's facts or subnet are others."""
    known = snapshot.memo.get(Fleet)
    if known is None or known.overcommit != overcommit or not _is_same(known, snapshot.workers):
        known = _fleet([snapshot.workers[name] for name in sorted(snapshot.workers)], overcommit)
        snapshot.memo.keep(known)
    return known


def _is_same(known: Fleet, workers: Mapping[str, WorkerRecord]) -> bool:
    """Records are made anew with each revision; their facts are not."""
    if len(known.records) != len(workers):
        return False
    for old in known.records:
        new = workers.get(old.worker_id)
        if new is None or new.facts is not old.facts or new.subnet != old.subnet:
            return False
    return True


def _fleet(records: Sequence[WorkerRecord], overcommit: Overcommit) -> Fleet:
    extras = sorted({name for record in records for name in record.facts.extras})
    facts = [record.facts for record in records]
    rows = [
        [int(one.cpu * overcommit.cpu) for one in facts],
        [int(one.memory_mb * overcommit.memory) for one in facts],
        [one.disk_mb or UNTOLD for one in facts],
        [ADDRESSES] * len(facts),
        *([one.extras.get(name, 0) for one in facts] for name in extras),
    ]
    return Fleet(
        records=tuple(records),
        overcommit=overcommit,
        kinds=(*BASIC, *extras),
        capacity=np.array([[min(amount, MOST) for amount in row] for row in rows], dtype=np.int64),
        position={record.worker_id: position for position, record in enumerate(records)},
        prefixes=tuple(record.subnet.rpartition(".")[0] for record in records),
    )
