"""What workers report of their volumes as rows and as a table, and whether one is there; pure functions."""

import json
from collections.abc import Iterable

from cli.render.text import table
from schema.errors import NotFound
from schema.names import WireModel
from schema.operations import GenerationContent
from schema.status import VmStatus, WorkerReport


class VolumeRow(WireModel):
    """A volume on a worker; `kept`: its instance is not there any more."""

    worker: str
    instance: str
    name: str
    kept: bool


def volumes_of(reports: Iterable[WorkerReport]) -> tuple[VolumeRow, ...]:
    """All volumes, by worker and instance."""
    rows: list[VolumeRow] = []
    for report in sorted(reports, key=lambda report: report.worker_id):
        there = [(f"{vm.instance}/{name}", False) for vm in report.running_vms for name in vm.volumes]
        kept = [(name, True) for name in report.kept_volumes]
        for full, is_kept in sorted(there + kept):
            instance, _, name = full.partition("/")
            rows.append(VolumeRow(worker=report.worker_id, instance=instance, name=name, kept=is_kept))
    return tuple(rows)


def check_there(found: VmStatus | None, published: GenerationContent | None, *, instance: str, volume: str) -> None:
    """See that an instance is there and has the volume (empty: any), before somebody is asked what it shall cost.

    Whether it is bound by it, the control plane decides. Raises NotFound.
    """
    if found is None:
        raise NotFound(f"there is no instance {instance!r}; `pcr vm ls` lists them")
    spec = json.loads(published.specs.get(found.vm, "{}")) if published else {}
    names = sorted(spec.get("volumes", {}))
    if not names:
        raise NotFound(f"{instance} has no volume")
    if volume and volume not in names:
        raise NotFound(f"{instance} has no volume {volume!r}, only {', '.join(names)}")


def volume_table(rows: Iterable[VolumeRow]) -> str:
    """A line for each volume."""
    lines = [
        (row.worker, f"{row.instance}/{row.name}", "kept, its instance has left" if row.kept else "in use")
        for row in rows
    ]
    return table(("WORKER", "VOLUME", "STATE"), lines)
