"""One project from what several files say of it: the first that speaks wins, field by field; it judges no content."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from autonix.findings import Dependency, Finding, Group, Project

_IDENTITY = ("path", "ecosystem", "manifest")
_JOINED = ("scripts", "toolchain", "entry_points")
"""Fields in which a later file adds what an earlier one did not name."""


def merged(parts: Sequence[Project]) -> Project:
    """`parts` in the order of their authority; at least one. Path, ecosystem and manifest are the first one's."""
    first, *rest = parts
    changes: dict[str, Any] = {}
    for name in (field.name for field in fields(Project)):
        if name in _IDENTITY:
            continue
        value = getattr(first, name)
        for other in rest:
            theirs = getattr(other, name)
            if name in _JOINED:
                known = {_key(finding) for finding in value}
                value = (*value, *(finding for finding in theirs if _key(finding) not in known))
            elif name == "dependencies" and not any(item.value.group is Group.RUNTIME for item in value):
                value = (*value, *theirs)
            elif not value:
                value = theirs
        changes[name] = value
    return replace(first, **changes)


def _key(finding: Finding[Any]) -> str:
    return str(getattr(finding.value, "name", None) or finding.value.tool)


def distinct(dependencies: Sequence[Finding[Dependency]]) -> tuple[Finding[Dependency], ...]:
    """Each name once in each group, and not as a development tool where it is needed at run time anyway."""
    kept: dict[tuple[str, Group], Finding[Dependency]] = {}
    for finding in dependencies:
        kept.setdefault((finding.value.name, finding.value.group), finding)
    runtime = {name for name, group in kept if group is Group.RUNTIME}
    return tuple(finding for (name, group), finding in kept.items() if group is Group.RUNTIME or name not in runtime)
