"""Unit files out of what a module comes to, as NixOS renders them."""

import json
from collections.abc import Mapping
from typing import Any


def unit(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """A unit file, as NixOS renders it."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key}={_value(each)}\n" for key, value in entries.items() for each in _several(value))
        for name, entries in sections.items()
    )


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
