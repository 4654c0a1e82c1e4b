"""YAML by PyYAML's safe composer, read as YAML 1.2 means it, with lines; no tag of a file ever makes an object.

`on`, `yes` and `22:22` are strings (YAML 1.1 makes a boolean and a base-60 number of them), and a number with a point
stays the text it is, as `3.10` is not `3.1` in a file about versions.
"""

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from autonix.formats.document import MAX_LINES, Document, Key
from schema.errors import InvalidInput

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None, "": None, "Null": None}
_DEEPEST = 40
_MOST_DOCUMENTS = 100


def parse_yaml(path: str, text: str) -> Document:
    """The first document of `text`. Raises InvalidInput, with the reason, where it is not YAML or is knotted."""
    return next(iter(_documents(path, text, most=1)), Document(path, None))


def parse_yaml_all(path: str, text: str) -> tuple[Document, ...]:
    """Every document of `text` that holds anything, at most a hundred. Raises InvalidInput as `parse_yaml`."""
    return tuple(_documents(path, text, most=_MOST_DOCUMENTS))


def _documents(path: str, text: str, *, most: int) -> list[Document]:
    found: list[Document] = []
    try:
        for node in islice(yaml.compose_all(text, Loader=_Loader), most):
            if node is not None:
                found.append(Document(path, _Builder().build(node, 0), _lines(node)))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInput(f"not YAML: {' '.join(str(error).split())[:200]}") from error
    return found


@dataclass(slots=True)
class _Builder:
    """Values from nodes; an alias is the same value again, so that a bomb of aliases stays as small as its text."""

    done: dict[int, Any] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def build(self, node: Any, depth: int) -> Any:
        if id(node) in self.done:
            return self.done[id(node)]
        if id(node) in self.open or depth > _DEEPEST:
            raise InvalidInput("not YAML that can be read: it holds itself, or is nested too deep")
        self.open.add(id(node))
        value = self._value(node, depth)
        self.open.discard(id(node))
        self.done[id(node)] = value
        return value

    def _value(self, node: Any, depth: int) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, depth + 1) for item in node.value]
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            value = self.build(value_node, depth + 1)
            if key_node.tag == "tag:yaml.org,2002:merge":
                for source in reversed(value if isinstance(value, list) else [value]):
                    merged.update(source if isinstance(source, dict) else {})
            elif isinstance(key_node, yaml.ScalarNode):
                own[key_node.value] = value
        return merged | own


def _scalar(node: Any) -> Any:
    if node.style in ('"', "'", "|", ">") or not node.tag.startswith("tag:yaml.org,2002:"):
        return node.value
    if node.value in _WORDS:
        return _WORDS[node.value]
    return int(node.value) if _INTEGER.fullmatch(node.value) and not _is_octal(node.value) else node.value


def _is_octal(text: str) -> bool:
    return len(text.lstrip("+-")) > 1 and text.lstrip("+-").startswith("0")


def _lines(root: Any) -> dict[tuple[Key, ...], int]:
    lines: dict[tuple[Key, ...], int] = {}
    waiting: list[tuple[tuple[Key, ...], Any]] = [((), root)]
    while waiting and len(lines) < MAX_LINES:
        path, node = waiting.pop()
        if len(path) > 8:
            continue
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    lines.setdefault((*path, key.value), key.start_mark.line + 1)
                    waiting.append(((*path, key.value), value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines.setdefault((*path, index), item.start_mark.line + 1)
                waiting.append(((*path, index), item))
    return lines
