"""Completion of what the local cluster knows: instances, workers, generations; silent where it cannot be asked."""

import os

import click
from click.shell_completion import CompletionItem

from cli.quick import local_http, read_status
from cli.settings import Options, find_target
from schema.errors import ProcuratorError

MOST = 200


def _status(context: click.Context) -> dict[str, object]:
    import json

    try:
        target = find_target(context.find_object(Options) or Options(), environ=os.environ)
        where = local_http(target.local_ready) if target.local_ready else None
        found = json.loads(read_status(where) or b"{}") if where else {}
    except (ProcuratorError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _items(context: click.Context, listed: str, key: str, incomplete: str) -> list[CompletionItem]:
    rows = _status(context).get(listed)
    names = [str(row.get(key, "")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)][:MOST]


def instances(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`web-0`, `web-1`, …"""
    return _items(context, "vms", "instance", incomplete)


def workers(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The workers' ids."""
    return _items(context, "workers", "workerId", incomplete)


def generations(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The numbers of the generations that are kept."""
    return _items(context, "generations", "number", incomplete)
