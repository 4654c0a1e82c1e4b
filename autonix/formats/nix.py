"""Nix expressions as far as a flake's outline needs them: sets, their names, literal strings; nothing is evaluated.

It is a reader of structure: strings with their interpolations, comments, brackets, `let`, `with`, lambdas and
applications are told apart as Nix does; operators and numbers are passed over.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schema.errors import InvalidInput

_SPACE = re.compile(r"(?:\s+|#[^\n]*|/\*.*?\*/)+", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_SIGN = re.compile(r"\.\.\.|\$\{|==|!=|<=|>=|->|//|\+\+|&&|\|\||[^\s]")
_PATH = re.compile(r"(?:~|\.\.?|[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,200})?(?:/[A-Za-z0-9._+-]+)+/?|<[A-Za-z0-9._/+-]+>")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:[A-Za-z0-9%/?:@&=+$,_.!~*'-]+")
_DEEPEST = 100
_LONGEST = 200_000
_OPEN, _CLOSE = frozenset(("{", "(", "[", "${")), frozenset(("}", ")", "]"))


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is `word`, `text` (a string; its value where it has no interpolation, else empty), `path` or `sign`."""

    kind: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class NixBinding:
    """`a.b = …;` in a set: its names as far as they are literal, and the tokens of its value."""

    names: tuple[str, ...]
    value: tuple[Token, ...]
    line: int


def nix_tokens(text: str) -> tuple[Token, ...]:
    """Raises InvalidInput where a string or comment never ends, or it is too long or nested too deep."""
    if len(text) > _LONGEST:
        raise InvalidInput("a Nix file that is too long")
    found, end = _scan(text, 0, depth=0, inside=False)
    if end != len(text):
        raise InvalidInput("not Nix: a bracket is closed that was never opened")
    return tuple(found)


def _scan(text: str, at: int, *, depth: int, inside: bool) -> tuple[list[Token], int]:
    """Tokens up to the end, or `inside` an interpolation to the brace that closes it."""
    if depth > _DEEPEST:
        raise InvalidInput("not Nix that can be read: nested too deep")
    found: list[Token] = []
    braces, line, counted = 0, text.count("\n", 0, at) + 1, at
    while at < len(text):
        if match := _SPACE.match(text, at):
            at = match.end()
            continue
        line += text.count("\n", counted, at)
        counted = at
        if text.startswith(('"', "''"), at):
            value, at = _string(text, at, depth)
            found.append(Token("text", value, line))
        elif match := _PATH.match(text, at) or _URI.match(text, at):
            found.append(Token("path", match[0], line))
            at = match.end()
        elif match := _WORD.match(text, at):
            found.append(Token("word", match[0], line))
            at = match.end()
        else:
            match = _SIGN.match(text, at)
            sign = match[0] if match else text[at]
            if sign in ("{", "${"):
                braces += 1
            elif sign == "}":
                if braces == 0 and inside:
                    return found, at + 1
                braces -= 1
            found.append(Token("sign", sign, line))
            at += len(sign)
    if inside:
        raise InvalidInput("not Nix: an interpolation that never ends")
    return found, at


def _string(text: str, at: int, depth: int) -> tuple[str, int]:
    """A string of either kind, and where it ends."""
    is_indented = text.startswith("''", at)
    at += 2 if is_indented else 1
    kept: list[str] = []
    plain = True
    while at < len(text):
        if text.startswith("${", at):
            _, at = _scan(text, at + 2, depth=depth + 1, inside=True)
            plain = False
        elif is_indented and text.startswith("'''", at):
            at += 3
        elif is_indented and text.startswith("''", at):
            if text[at + 2 : at + 3] == "$":
                at += 3
            elif text[at + 2 : at + 3] == "\\":
                at += 4
            else:
                return "".join(kept) if plain else "", at + 2
        elif not is_indented and text[at] == "\\":
            kept.append(text[at + 1 : at + 2])
            at += 2
        elif not is_indented and text[at] == '"':
            return "".join(kept) if plain else "", at + 1
        else:
            step = 2 if text.startswith("$$", at) else 1
            kept.append(text[at : at + step])
            at += step
    raise InvalidInput("not Nix: a string that never ends")


def bindings(tokens: Sequence[Token]) -> tuple[NixBinding, ...]:
    """The bindings between the braces of a set (`tokens` without them); `inherit` binds names to nothing."""
    return tuple(_bindings(tokens))


def _bindings(tokens: Sequence[Token]) -> Iterator[NixBinding]:
    for statement in _split(tokens, ";"):
        if not statement:
            continue
        if _is(statement[0], "word", "inherit"):
            rest = statement[1:]
            if rest and _is(rest[0], "sign", "("):
                rest = rest[_end(rest, 0) + 1 :]
            yield from (NixBinding((each.value,), (), each.line) for each in rest if each.kind in ("word", "text"))
            continue
        parts = list(_split(statement, "=", once=True))
        if len(parts) == 2:
            names = tuple(each.value for each in parts[0] if each.kind in ("word", "text") and each.value)
            yield NixBinding(names, tuple(parts[1]), statement[0].line)


def sets_of(tokens: Sequence[Token], depth: int = 0) -> Iterator[tuple[NixBinding, ...]]:
    """The sets that an expression may yield: past lambdas, `let`, `with` and `assert`, in parentheses and arguments."""
    rest = list(tokens)
    if depth > _DEEPEST:
        return
    for _ in range(_DEEPEST):
        if not rest:
            return
        first = rest[0]
        if _is(first, "word", "let"):
            rest = rest[_in(rest) :]
        elif first.kind == "word" and first.value in ("with", "assert"):
            rest = rest[_scope(rest) :]
        elif (body := _lambda_body(rest)) is not None:
            rest = rest[body:]
        else:
            break
    at = 0
    while at < len(rest):
        token = rest[at]
        if token.kind == "sign" and token.value in _OPEN:
            end = _end(rest, at)
            inner = rest[at + 1 : end]
            if token.value == "{":
                yield bindings(inner)
            elif token.value == "(":
                yield from sets_of(inner, depth + 1)
            at = end
        elif _is(token, "word", "let") or _begins_lambda(rest, at):
            yield from sets_of(rest[at:], depth + 1)
            return
        at += 1


def _begins_lambda(tokens: Sequence[Token], at: int) -> bool:
    after = tokens[at + 1 : at + 2]
    return tokens[at].kind == "word" and bool(after) and after[0].kind == "sign" and after[0].value in (":", "@")


def _lambda_body(tokens: Sequence[Token]) -> int | None:
    """Where the body of `x: …`, `{ … }: …`, `x@{ … }: …` or `{ … }@x: …` begins; None where it is no lambda."""
    at = _formal(tokens, 0)
    if at is not None and at < len(tokens) and _is(tokens[at], "sign", "@"):
        at = _formal(tokens, at + 1)
    return at + 1 if at is not None and at < len(tokens) and _is(tokens[at], "sign", ":") else None


def _formal(tokens: Sequence[Token], at: int) -> int | None:
    """Past a name or a pattern in braces; None where there is neither."""
    if at >= len(tokens):
        return None
    if tokens[at].kind == "word":
        return at + 1
    return _end(tokens, at) + 1 if _is(tokens[at], "sign", "{") else None


def _in(tokens: Sequence[Token]) -> int:
    """Past the `in` that ends the `let` at the beginning."""
    open_lets, depth = 0, 0
    for index, token in enumerate(tokens):
        if token.kind == "sign":
            depth += (token.value in _OPEN) - (token.value in _CLOSE)
        elif token.kind == "word" and depth == 0:
            open_lets += (token.value == "let") - (token.value == "in")
            if token.value == "in" and open_lets == 0:
                return index + 1
    return len(tokens)


def _split(tokens: Sequence[Token], sign: str, *, once: bool = False) -> Iterator[Sequence[Token]]:
    start = 0
    for index in _outermost(tokens):
        if tokens[index].kind == "sign" and tokens[index].value == sign:
            yield tokens[start:index]
            start = index + 1
            if once:
                break
    yield tokens[start:]


def _outermost(tokens: Sequence[Token]) -> Iterator[int]:
    """Indices of tokens that are in no bracket and no `let … in`; of `with x;` and `assert x;` without their `;`."""
    depth, lets, scopes = 0, 0, 0
    for index, token in enumerate(tokens):
        if token.kind == "sign" and token.value in _CLOSE:
            depth -= 1
        if depth == 0 and token.kind == "word":
            lets += (token.value == "let") - (token.value == "in" and lets > 0)
            scopes += token.value in ("with", "assert") and lets == 0
        if depth <= 0 and lets == 0:
            if scopes and _is(token, "sign", ";"):
                scopes -= 1
            else:
                yield index
        if token.kind == "sign" and token.value in _OPEN:
            depth += 1


def _scope(tokens: Sequence[Token]) -> int:
    """Past the `;` of the `with` or `assert` at the beginning."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.kind == "sign":
            depth += (token.value in _OPEN) - (token.value in _CLOSE)
            if depth == 0 and token.value == ";":
                return index + 1
    return len(tokens)


def _end(tokens: Sequence[Token], start: int) -> int:
    """The bracket that closes the one at `start`; the last token where none does."""
    depth = 0
    for index in range(start, len(tokens)):
        if tokens[index].kind == "sign":
            depth += (tokens[index].value in _OPEN) - (tokens[index].value in _CLOSE)
            if depth == 0:
                return index
    return len(tokens) - 1


def _is(token: Token, kind: str, value: str) -> bool:
    return token.kind == kind and token.value == value
