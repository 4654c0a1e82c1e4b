"""What workers report of their volumes as rows and as a table; pure functions of the reports."""

from collections.abc import Iterable

from cli.render.text import table
from schema.names import WireModel
from schema.status import WorkerReport


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


def volume_table(rows: Iterable[VolumeRow]) -> str:
    """A line for each volume."""
    lines = [
        (row.worker, f"{row.instance}/{row.name}", "kept, its instance has left" if row.kept else "in use")
        for row in rows
    ]
    return table(("WORKER", "VOLUME", "STATE"), lines)
