"""XML by expat as nested tables with lines; a document type, by which entities could grow or read files, is refused.

An element becomes its text where it holds no other element, else a table of its children: one of a name stands
alone, several make a list. Attributes are `@name`. Namespaces are dropped.
"""

from dataclasses import dataclass, field
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from autonix.formats.document import MAX_LINES, Document, Key
from schema.errors import InvalidInput

_DEEPEST = 100
MOST_ELEMENTS = 200_000


@dataclass(slots=True)
class _Element:
    name: str
    line: int
    text: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["_Element"] = field(default_factory=list)


def parse_xml(path: str, text: str) -> Document:
    """Raises InvalidInput, with the reason, where it is not XML or has a document type."""
    root = _Element("", 1)
    stack = [root]
    parser = ParserCreate(namespace_separator=" ")

    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1 + len(attributes)
        if len(stack) > _DEEPEST or count > MOST_ELEMENTS:
            raise InvalidInput("XML that is nested too deep, or too large")
        plain = {f"@{_local(key)}": value for key, value in attributes.items()}
        element = _Element(_local(name), parser.CurrentLineNumber, attributes=plain)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_name: str) -> None:
        stack.pop()

    def characters(data: str) -> None:
        stack[-1].text.append(data)

    def doctype(*_: object) -> None:
        raise InvalidInput("XML with a document type is not read")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except ExpatError as error:
        raise InvalidInput(f"not XML: {error}") from error
    lines: dict[tuple[Key, ...], int] = {}
    return Document(path, _value(root, (), lines), lines)


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _value(element: _Element, path: tuple[Key, ...], lines: dict[tuple[Key, ...], int]) -> Any:
    if len(lines) < MAX_LINES:
        lines.setdefault(path, element.line)
    if not element.children and not element.attributes:
        return "".join(element.text).strip()
    value: dict[str, Any] = dict(element.attributes)
    names = [child.name for child in element.children]
    for name in dict.fromkeys(names):
        same = [child for child in element.children if child.name == name]
        if len(same) == 1:
            value[name] = _value(same[0], (*path, name), lines)
        else:
            lines.setdefault((*path, name), same[0].line)
            value[name] = [_value(child, (*path, name, index), lines) for index, child in enumerate(same)]
    if not element.children:
        value["#text"] = "".join(element.text).strip()
    return value
