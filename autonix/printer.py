"""Syntax tree → Nix text in nixfmt's manner; it decides about layout only, and never about what is said.

Escapes are those of the Nix manual, "String literal". A text goes between `''` only where that cannot change it: see
`_fits_lines`.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, assert_never

from autonix.nixast import (
    MIN_INT,
    OPERATORS,
    Apply,
    AttrSet,
    Binding,
    Commented,
    If,
    Inherit,
    Int,
    Lambda,
    Let,
    Lines,
    ListOf,
    Node,
    Op,
    Path,
    Pattern,
    Select,
    Str,
    Var,
    With,
    is_identifier,
)
from schema.names import printable

WIDTH: Final = 100
"""Columns that a line may fill before it is broken."""

_ATOM, _SELECT, _APPLY, _NEGATE, _SUM, _ANY = 0, 1, 2, 3, 7, 20
"""How tightly forms bind; what stands between is in OPERATORS."""

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*")
_LINE_BREAKS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def show(node: Node, *, header: str = "") -> str:
    """The text of a file that holds `node`, with `header` as a comment at its top; ends with a newline."""
    return "".join(f"{line}\n" for line in comment_lines(header)) + _block(node, 0) + "\n"


def comment_lines(comment: str) -> list[str]:
    """`comment` as lines of `# …`, whatever is in it: nothing can end a line or change what a reader sees."""
    kept = [_DIRECTIONS.sub("", printable(line)).rstrip() for line in _LINE_BREAKS.split(comment)] if comment else []
    return [f"# {line}".rstrip() for line in kept]


def key(name: str) -> str:
    """An attribute's name, quoted where Nix needs that."""
    return name if is_identifier(name) else _quoted((name,))


def _block(node: Node, indent: int, *, limit: int = _ANY, used: int = 0) -> str:
    """`node` after `used` columns of its line; its further lines start at `indent` or beyond."""
    if _level(node) > limit:
        inner = _block(node, indent + 2)
        if "\n" not in inner:
            return f"({inner})"
        return f"(\n{_pad(indent + 2)}{inner}\n{_pad(indent)})"
    flat = _flat(node)
    if flat is not None and indent + used + len(flat) <= WIDTH:
        return flat
    return _broken(node, indent)


def _broken(node: Node, indent: int) -> str:
    """`node` over several lines, where it has a form for that."""
    pad = _pad(indent)
    match node:
        case AttrSet():
            opening = "rec {" if node.recursive else "{"
            return f"{opening}\n{_entries(node.entries, indent + 2)}{pad}}}" if node.entries else f"{opening} }}"
        case ListOf():
            return f"[\n{''.join(_item(item, indent + 2) for item in node.items)}{pad}]"
        case Lambda():
            hugs = isinstance(node.body, AttrSet | ListOf | Lambda | Apply)
            return _argument(node.argument, indent) + (" " if hugs else f"\n{pad}") + _block(node.body, indent)
        case Let():
            return f"let\n{_entries(node.entries, indent + 2)}{pad}in\n{pad}{_block(node.body, indent)}"
        case With():
            gap = " " if isinstance(node.body, AttrSet | ListOf) else f"\n{pad}"
            return f"with {_block(node.scope, indent)};{gap}{_block(node.body, indent)}"
        case If():
            condition, inner = _block(node.condition, indent), _pad(indent + 2)
            yes, no = _block(node.yes, indent + 2), _block(node.no, indent + 2)
            return f"if {condition} then\n{inner}{yes}\n{pad}else\n{inner}{no}"
        case Apply():
            return _application(node, indent)
        case Op():
            left, right = _limits(node.operator)
            right_text = _block(node.right, indent, limit=right)
            return f"{_block(node.left, indent, limit=left)} {node.operator} {right_text}"
        case Select():
            return _select(node, indent)
        case Lines():
            return _lines(node.parts, indent)
        case Var() | Int() | Str() | Path():
            return _atom(node)
        case _:
            assert_never(node)


def _application(node: Apply, indent: int) -> str:
    """A last argument with braces hugs its function; else each argument has a line."""
    function = _block(node.function, indent, limit=_APPLY)
    hugs = isinstance(node.arguments[-1], AttrSet | Lambda | ListOf | Apply)
    if hugs or (len(node.arguments) == 1 and "\n" not in function):
        return " ".join((function, *(_block(each, indent, limit=_SELECT) for each in node.arguments)))
    pad = _pad(indent + 2)
    return function + "".join(f"\n{pad}{_block(each, indent + 2, limit=_SELECT)}" for each in node.arguments)


def _flat(node: Node) -> str | None:
    """`node` on one line, or None where a reader is better served by several."""
    match node:
        case Var() | Int() | Str() | Path():
            return _atom(node)
        case Lines():
            return None if _fits_lines(node.parts) else _quoted(node.parts)
        case AttrSet():
            return _flat_set(node)
        case ListOf():
            items = [None if isinstance(item, Commented) else _flat_within(item, _SELECT) for item in node.items]
            simple = len(items) <= 1 or not any(isinstance(item, AttrSet | ListOf) for item in node.items)
            return None if None in items or not simple else " ".join(("[", *filter(None, items), "]"))
        case Apply():
            parts = [_flat_within(node.function, _APPLY), *(_flat_within(each, _SELECT) for each in node.arguments)]
            return None if None in parts else " ".join(filter(None, parts))
        case Op():
            limits = _limits(node.operator)
            left, right = _flat_within(node.left, limits[0]), _flat_within(node.right, limits[1])
            return None if left is None or right is None else f"{left} {node.operator} {right}"
        case Lambda():
            body = None if isinstance(node.argument, Pattern) else _flat(node.body)
            return None if body is None else f"{node.argument}: {body}"
        case With():
            scope, body = _flat(node.scope), _flat(node.body)
            return None if scope is None or body is None else f"with {scope}; {body}"
        case Select():
            return _select(node, 0)
        case Let() | If():
            return None
        case _:
            assert_never(node)


def _flat_within(node: Node, limit: int) -> str | None:
    flat = _flat(node)
    return flat if flat is None or _level(node) <= limit else f"({flat})"


def _flat_set(node: AttrSet) -> str | None:
    """`{ }`, `{ inherit a; }` and `{ a = 1; }` stay on their line; more than one entry does not."""
    opening = "rec {" if node.recursive else "{"
    match node.entries:
        case ():
            return f"{opening} }}"
        case (Inherit() as only,):
            return f"{opening} {_inherit(only)} }}"
        case (Binding(comment="") as only,) if not isinstance(only.value, AttrSet | Apply | Lambda):
            value = _flat(only.value)
            return None if value is None else f"{opening} {_attribute_path(only.path)} = {value}; }}"
    return None


def _entries(entries: Sequence[Binding | Inherit], indent: int) -> str:
    pad, shown = _pad(indent), ""
    for entry in entries:
        match entry:
            case Inherit():
                shown += f"{pad}{_inherit(entry)}\n"
            case Binding():
                shown += "".join(f"{pad}{line}\n" for line in comment_lines(entry.comment))
                path = _attribute_path(entry.path)
                shown += f"{pad}{path} ={_bound(entry.value, indent, used=len(path) + 4)};\n"
            case _:
                assert_never(entry)
    return shown


def _bound(value: Node, indent: int, *, used: int) -> str:
    """What follows `name =`: on the same line where that reads well, else on the next."""
    if isinstance(value, Let | If) or (isinstance(value, Lambda) and isinstance(value.argument, Pattern)):
        return f"\n{_pad(indent + 2)}{_block(value, indent + 2)}"
    return f" {_block(value, indent, used=used)}"


def _item(item: Node | Commented, indent: int) -> str:
    pad = _pad(indent)
    if isinstance(item, Commented):
        comment = "".join(f"{pad}{line}\n" for line in comment_lines(item.comment))
        return f"{comment}{pad}{_block(item.value, indent, limit=_SELECT)}\n"
    return f"{pad}{_block(item, indent, limit=_SELECT)}\n"


def _inherit(entry: Inherit) -> str:
    source = () if entry.source is None else (f"({_block(entry.source, 0)})",)
    return " ".join(("inherit", *source, *entry.names)) + ";"


def _argument(argument: str | Pattern, indent: int) -> str:
    if isinstance(argument, str):
        return f"{argument}:"
    formals = [
        formal.name if formal.default is None else f"{formal.name} ? {_block(formal.default, indent + 2)}"
        for formal in argument.formals
    ]
    formals += ["..."] if argument.is_open else []
    whole = "" if argument.whole is None else f"@{argument.whole}"
    flat = f"{{ {', '.join(formals)} }}{whole}:" if formals else f"{{ }}{whole}:"
    if "\n" not in flat and indent + len(flat) <= WIDTH // 2:
        return flat
    pad = _pad(indent + 2)
    # nixfmt ends each name with a comma, and `...` without one.
    rows = [f"{pad}{formal}{'' if formal == '...' else ','}\n" for formal in formals]
    return f"{{\n{''.join(rows)}{_pad(indent)}}}{whole}:"


def _select(node: Select, indent: int) -> str:
    bare = isinstance(node.base, Int | Path)  # `1.x` and `./a.x` are read as something else
    chained = isinstance(node.base, Select) and node.base.default is None
    base = f"({_block(node.base, indent)})" if bare else _block(node.base, indent, limit=_SELECT if chained else _ATOM)
    default = "" if node.default is None else f" or {_block(node.default, indent, limit=_SELECT)}"
    return f"{base}.{_attribute_path(node.path)}{default}"


def _attribute_path(path: Sequence[str | Node]) -> str:
    return ".".join(key(step) if isinstance(step, str) else f"${{{_block(step, 0)}}}" for step in path)


def _limits(operator: str) -> tuple[int, int]:
    """What may stand left and right of an operator without parentheses."""
    level, associates = OPERATORS[operator]
    return (level if associates == "left" else level - 1), (level if associates == "right" else level - 1)


def _level(node: Node) -> int:
    match node:
        case Select():
            return _SELECT
        case Apply():
            return _APPLY
        case Int():
            return _NEGATE if MIN_INT < node.value < 0 else _SUM if node.value == MIN_INT else _ATOM
        case Op():
            return OPERATORS[node.operator][0]
        case Path():
            return _ATOM if not node.relative or _PLAIN_PATH.fullmatch(node.relative) else _SUM
        case Lambda() | Let() | With() | If():
            return _ANY
        case Var() | Str() | Lines() | ListOf() | AttrSet():
            return _ATOM
        case _:
            assert_never(node)


def _atom(node: Var | Int | Str | Path) -> str:
    match node:
        case Var():
            return node.name
        case Int():
            # The lexer reads the digits before the minus, and 2^63 does not fit.
            return str(node.value) if node.value > MIN_INT else f"{MIN_INT + 1} - 1"
        case Str():
            return _quoted(node.parts)
        case Path():
            if not node.relative:
                return "./."
            plain = _PLAIN_PATH.fullmatch(node.relative) is not None
            return f"./{node.relative}" if plain else f"./. + {_quoted(('/' + node.relative,))}"
        case _:
            assert_never(node)


def _quoted(parts: Sequence[str | Node]) -> str:
    shown = ""
    parts = _merged(parts)
    for index, part in enumerate(parts):
        if isinstance(part, str):
            escaped = part.translate(_ESCAPES).replace("${", "\\${")
            # A dollar right before an interpolation would take its own away.
            joins = escaped.endswith("$") and index + 1 < len(parts)
            shown += escaped[:-1] + "\\$" if joins else escaped
        else:
            shown += f"${{{_block(part, 0)}}}"
    return f'"{shown}"'


def _fits_lines(parts: Sequence[str | Node]) -> bool:
    """Whether `''` keeps the text: several lines, no indentation to lose, and no quotes that meet ours or `${`."""
    text = "".join(part if isinstance(part, str) else "x" for part in parts)
    rows = text.split("\n")
    inner = [row for row in rows if row]
    before = [part for part, after in pairwise(parts) if isinstance(part, str) and not isinstance(after, str)]
    return (
        len(rows) > 1
        and any(not row.startswith(" ") for row in inner)
        and all(row.strip(" ") for row in inner)
        and bool(rows[0])
        and printable(text) == text
        and not re.search(r"''|'\$\{|'\Z|\t", text)
        and "\u2028" not in text
        and not any(part.endswith(("$", "'")) for part in before)
    )


def _merged(parts: Sequence[str | Node]) -> list[str | Node]:
    """The same pieces with neighbouring texts as one, so that nothing is made where two of them meet."""
    merged: list[str | Node] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        else:
            merged.append(part)
    return merged


def _lines(parts: Sequence[str | Node], indent: int) -> str:
    parts = _merged(parts)
    if not _fits_lines(parts):
        return _quoted(parts)
    pad, inner = _pad(indent), _pad(indent + 2)
    shown = "".join(
        part.replace("${", "''${") if isinstance(part, str) else f"${{{_block(part, indent + 2)}}}" for part in parts
    )
    *rows, last = shown.split("\n")
    body = "".join(f"{inner}{row}\n" if row else "\n" for row in rows)
    return f"''\n{body}{inner + last if last else pad}''"


def _pad(indent: int) -> str:
    return " " * indent
