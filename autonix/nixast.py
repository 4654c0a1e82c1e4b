"""The syntax tree of the Nix text that autonix writes; it prints nothing (`printer.py`) and parses nothing.

A node that Nix could not say (an identifier with a space, an integer beyond 64 bits, a NUL in a string) is refused when
it is made, with `InvalidInput`. Attribute names and strings may be anything else: the printer quotes and escapes them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from schema.errors import InvalidInput

KEYWORDS: Final = frozenset(("assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"))
"""Words of Nix's grammar that are no identifiers."""

OPERATORS: Final[Mapping[str, tuple[int, str]]] = {
    "++": (5, "right"),
    "*": (6, "left"),
    "/": (6, "left"),
    "+": (7, "left"),
    "-": (7, "left"),
    "//": (9, "right"),
    "<": (10, "none"),
    "==": (11, "none"),
    "!=": (11, "none"),
    "&&": (12, "left"),
    "||": (13, "left"),
    "->": (14, "right"),
}
"""Binary operators: precedence (lower binds tighter; the Nix manual's table) and associativity."""

MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")


def is_identifier(text: str) -> bool:
    """Whether Nix reads `text`, unquoted, as a name."""
    return _IDENTIFIER.fullmatch(text) is not None and text not in KEYWORDS


def _check_text(text: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"Nix text cannot hold NUL or half a surrogate pair: {text!r}")


def _check_identifier(name: str) -> None:
    if not is_identifier(name):
        raise InvalidInput(f"not an identifier of Nix: {name!r}")


@dataclass(frozen=True, slots=True)
class Var:
    """A variable, or one of Nix's constants: `true`, `false`, `null`, `builtins`."""

    name: str

    def __post_init__(self) -> None:
        _check_identifier(self.name)


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number of 64 bits."""

    value: int

    def __post_init__(self) -> None:
        if not MIN_INT <= self.value <= MAX_INT:
            raise InvalidInput(f"not a 64-bit integer: {self.value}")


@dataclass(frozen=True, slots=True)
class Str:
    """A string: its literal pieces, and expressions that are interpolated between them."""

    parts: "tuple[str | Node, ...]"

    def __post_init__(self) -> None:
        for part in self.parts:
            if isinstance(part, str):
                _check_text(part)


@dataclass(frozen=True, slots=True)
class Lines:
    """A string of several lines, printed between `''` where its form allows, and as a plain string elsewhere."""

    parts: "tuple[str | Node, ...]"

    def __post_init__(self) -> None:
        for part in self.parts:
            if isinstance(part, str):
                _check_text(part)


@dataclass(frozen=True, slots=True)
class Path:
    """A path relative to the file that holds it; "" is its directory. No `..`, not absolute."""

    relative: str

    def __post_init__(self) -> None:
        _check_text(self.relative)
        if self.relative and any(part in ("", ".", "..") for part in self.relative.split("/")):
            raise InvalidInput(f"not a path below its file's directory: {self.relative!r}")


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    items: "tuple[Node | Commented, ...]"


@dataclass(frozen=True, slots=True)
class Commented:
    """An entry of a list with a comment above it."""

    comment: str
    value: "Node"


@dataclass(frozen=True, slots=True)
class Binding:
    """`path = value;` with a comment above it. A step of the path is a name, or an expression (`${system}`)."""

    path: "tuple[str | Node, ...]"
    value: "Node"
    comment: str = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise InvalidInput("a binding needs a name")
        for step in self.path:
            if isinstance(step, str):
                _check_text(step)


@dataclass(frozen=True, slots=True)
class Inherit:
    """`inherit a b;` or `inherit (source) a b;`."""

    names: tuple[str, ...]
    source: "Node | None" = None

    def __post_init__(self) -> None:
        for name in self.names:
            _check_identifier(name)


@dataclass(frozen=True, slots=True)
class AttrSet:
    """An attribute set. Two bindings of one path are Nix's to refuse."""

    entries: tuple[Binding | Inherit, ...]
    recursive: bool = False


@dataclass(frozen=True, slots=True)
class Formal:
    """One name of a lambda's pattern."""

    name: str
    default: "Node | None" = None

    def __post_init__(self) -> None:
        _check_identifier(self.name)


@dataclass(frozen=True, slots=True)
class Pattern:
    """`{ a, b ? 1, ... }@all`."""

    formals: tuple[Formal, ...]
    is_open: bool = False
    whole: str | None = None

    def __post_init__(self) -> None:
        if self.whole is not None:
            _check_identifier(self.whole)


@dataclass(frozen=True, slots=True)
class Lambda:
    """`x: body` or `{ ... }: body`."""

    argument: str | Pattern
    body: "Node"

    def __post_init__(self) -> None:
        if isinstance(self.argument, str):
            _check_identifier(self.argument)


@dataclass(frozen=True, slots=True)
class Let:
    """`let … in body`."""

    entries: tuple[Binding | Inherit, ...]
    body: "Node"


@dataclass(frozen=True, slots=True)
class With:
    """`with scope; body`."""

    scope: "Node"
    body: "Node"


@dataclass(frozen=True, slots=True)
class Apply:
    """`function argument …`."""

    function: "Node"
    arguments: "tuple[Node, ...]"

    def __post_init__(self) -> None:
        if not self.arguments:
            raise InvalidInput("an application needs an argument")


@dataclass(frozen=True, slots=True)
class Select:
    """`base.path`, and `or default` where there is one."""

    base: "Node"
    path: "tuple[str | Node, ...]"
    default: "Node | None" = None


@dataclass(frozen=True, slots=True)
class If:
    """`if condition then yes else no`."""

    condition: "Node"
    yes: "Node"
    no: "Node"


@dataclass(frozen=True, slots=True)
class Op:
    """`left operator right`."""

    operator: str
    left: "Node"
    right: "Node"

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise InvalidInput(f"not an operator of Nix: {self.operator!r}")


Node: TypeAlias = Var | Int | Str | Lines | Path | ListOf | AttrSet | Lambda | Let | With | Apply | Select | If | Op
Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value] | None"


def literal(value: Value) -> Node:
    """What evaluates to `value`; a mapping's order is kept."""
    match value:
        case None:
            return Var("null")
        case bool():
            return Var("true" if value else "false")
        case int():
            return Int(value)
        case str():
            return Str((value,))
        case Mapping():
            return AttrSet(tuple(Binding((name,), literal(each)) for name, each in value.items()))
        case _:
            return ListOf(tuple(literal(each) for each in value))


def text(value: str) -> Str:
    """A string without interpolation."""
    return Str((value,))


def names(dotted: str) -> Node:
    """`pkgs.lib.x` as variable and selections; only for names that stand in our own source."""
    first, *rest = dotted.split(".")
    return Select(Var(first), tuple(rest)) if rest else Var(first)


def call(function: str, *arguments: Node) -> Apply:
    """A function that our own source names, applied."""
    return Apply(names(function), arguments)


def bind(path: str, value: Node, *, comment: str = "") -> Binding:
    """A binding whose dotted path stands in our own source."""
    return Binding(tuple(path.split(".")), value, comment)
