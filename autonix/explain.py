"""Every finding of an analysis, and the sentence that says where it comes from; what to show is its callers' matter."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from autonix.findings import Finding


def findings_of(value: Any) -> Iterator[Finding[Any]]:
    """All findings inside `value` (an analysis, a project …), in the order of its fields."""
    if isinstance(value, Finding):
        yield value
        value = value.value
    if isinstance(value, tuple):
        for item in value:
            yield from findings_of(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from findings_of(getattr(value, field.name))


def reason(finding: Finding[Any]) -> str:
    """`pyproject.toml:3 (python.pep621.name, certain)`."""
    return f"{finding.file}:{finding.line} ({finding.rule}, {finding.confidence})"
