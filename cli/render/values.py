"""View values as JSON: the same fields that a table shows, in camelCase; it computes none of them."""

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def as_json(view: object) -> str:
    """A frozen dataclass (or a tuple of them) as indented JSON; non-ASCII and control characters are escaped."""
    return json.dumps(plain(view), indent=2, ensure_ascii=True)


def plain(value: object) -> Any:
    """Dataclasses become objects with camelCase keys, enums their values, tuples lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(field.name): plain(getattr(value, field.name)) for field in fields(value)}
    match value:
        case Enum():
            return value.value
        case tuple() | list():
            return [plain(item) for item in value]
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
