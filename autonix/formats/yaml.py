"""YAML by PyYAML's event parser, read as YAML 1.2 means it, with lines; no tag of a file ever makes an object.

`on`, `yes` and `22:22` are strings (YAML 1.1 makes a boolean and a base-60 number of them), and a number with a point
stays the text it is, as `3.10` is not `3.1` in a file about versions. PyYAML's own composer is not used: it calls
itself once for each level, and a text of many brackets ends the whole process.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from autonix.formats.document import MAX_LINES, Document, Key
from schema.errors import InvalidInput

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NODES = (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None, "": None, "Null": None}
_DEEPEST = 40
_MOST_DOCUMENTS = 100
MOST_NODES = 500_000
"""Values in one file, and as many again where each alias counts as all that it stands for: more is refused."""


def parse_yaml(path: str, text: str) -> Document:
    """The first document of `text`. Raises InvalidInput, with the reason, where it is not YAML or is knotted."""
    return next(_documents(path, text, most=1), Document(path, None))


def parse_yaml_all(path: str, text: str) -> tuple[Document, ...]:
    """Every document of `text` that holds anything, at most a hundred. Raises InvalidInput as `parse_yaml`."""
    return tuple(each for each in _documents(path, text, most=_MOST_DOCUMENTS) if each.value is not None)


def _documents(path: str, text: str, *, most: int) -> Iterator[Document]:
    try:
        for number, node in enumerate(_composed(text), 1):
            lines: dict[tuple[Key, ...], int] = {}
            yield Document(path, _Builder().build(node), _lines(node, lines))
            if number == most:
                return
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInput(f"not YAML: {' '.join(str(error).split())[:200]}") from error


@dataclass(slots=True)
class _Node:
    """One value: a scalar's text, or what a list or table holds (for a table keys and values in turn)."""

    kind: str
    line: int
    text: str = ""
    is_plain: bool = False
    items: list["_Node"] = field(default_factory=list)
    size: int = 1


def _composed(text: str) -> Iterator[_Node]:
    """The root of each document. An alias is the same node again, so that many stay as small as their text."""
    stack: list[_Node] = []
    anchors: dict[str | None, _Node] = {}
    count = 0
    events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
    for event in events:
        kind = type(event)
        if kind in _NODES:
            node = _node(event)
            count += 1
            stack[-1].items.append(node)
            if event.anchor is not None:
                anchors[event.anchor] = node
            if kind is not yaml.ScalarEvent:
                stack.append(node)
            if len(stack) > _DEEPEST or count > MOST_NODES:
                raise InvalidInput("not YAML that can be read: nested too deep, or too large")
        elif kind in _ENDS:
            done = stack.pop()
            done.size = 1 + sum(item.size for item in done.items)
            if done.size > 2 * MOST_NODES:
                raise InvalidInput("not YAML that can be read: its aliases stand for too much")
        elif kind is yaml.AliasEvent:
            known = anchors.get(event.anchor)
            if known is None or any(known is open_ for open_ in stack):
                raise InvalidInput("not YAML that can be read: an alias of nothing, or of what holds it")
            stack[-1].items.append(known)
        elif kind is yaml.DocumentStartEvent:
            stack, anchors = [_Node("root", 1)], {}
        elif kind is yaml.DocumentEndEvent:
            yield stack[0].items[0] if stack[0].items else _Node("scalar", 1, is_plain=True)


def _node(event: Any) -> _Node:
    line = event.start_mark.line + 1
    if type(event) is yaml.ScalarEvent:
        return _Node("scalar", line, event.value, is_plain=event.implicit[0])
    return _Node("list" if type(event) is yaml.SequenceStartEvent else "table", line)


@dataclass(slots=True)
class _Builder:
    """Values from nodes, each made once."""

    done: dict[int, Any] = field(default_factory=dict)
    merged: int = 0

    def build(self, node: _Node) -> Any:
        if id(node) not in self.done:
            self.done[id(node)] = self._value(node)
        return self.done[id(node)]

    def _value(self, node: _Node) -> Any:
        if node.kind == "scalar":
            return _scalar(node)
        if node.kind == "list":
            return [self.build(item) for item in node.items]
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        for key, item in _pairs(node):
            value = self.build(item)
            if key.kind == "scalar" and key.is_plain and key.text == "<<":
                for source in reversed(value if isinstance(value, list) else [value]):
                    merged.update(source if isinstance(source, dict) else {})
            elif key.kind == "scalar":
                own[key.text] = value
        self.merged += len(merged)
        if self.merged > MOST_NODES:
            raise InvalidInput("not YAML that can be read: its merges hold too much")
        return merged | own


def _pairs(node: _Node) -> Iterator[tuple[_Node, _Node]]:
    return zip(node.items[::2], node.items[1::2], strict=False)


def _scalar(node: _Node) -> Any:
    if not node.is_plain:
        return node.text
    if node.text in _WORDS:
        return _WORDS[node.text]
    return int(node.text) if _INTEGER.fullmatch(node.text) and not _is_octal(node.text) else node.text


def _is_octal(text: str) -> bool:
    return len(text.lstrip("+-")) > 1 and text.lstrip("+-").startswith("0")


def _lines(root: _Node, lines: dict[tuple[Key, ...], int]) -> dict[tuple[Key, ...], int]:
    waiting: list[tuple[tuple[Key, ...], _Node]] = [((), root)]
    while waiting and len(lines) < MAX_LINES:
        path, node = waiting.pop()
        if len(path) > 8:
            continue
        if node.kind == "table":
            for key, value in _pairs(node):
                if key.kind == "scalar":
                    lines.setdefault((*path, key.text), key.line)
                    waiting.append(((*path, key.text), value))
        else:
            for index, item in enumerate(node.items):
                lines.setdefault((*path, index), item.line)
                waiting.append(((*path, index), item))
    return lines
