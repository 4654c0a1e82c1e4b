"""What the printer writes means, to the real nix, what the tree says; and reads like nixfmt's."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autonix import nixast as n
from autonix.printer import show
from autonix.tests.emit.realnix import evaluate, parse
from autonix.tests.emit.values import HOSTILE, texts, values
from schema.errors import InvalidInput

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def evaluated(node: n.Node) -> Any:
    with TemporaryDirectory() as directory:
        return trio.run(partial(evaluate, Path(directory), show(node)))


@few
@given(st.lists(values, min_size=20, max_size=60))
def test_any_value_comes_back_from_nix_as_it_was(many: list[Any]) -> None:
    assert evaluated(n.literal(many)) == many


@few
@given(st.lists(st.lists(texts, max_size=6).map("\n".join), min_size=20, max_size=60))
def test_any_text_between_indentation_quotes_comes_back_as_it_was(many: list[str]) -> None:
    deep = n.ListOf(tuple(n.AttrSet((n.bind("a.b", n.Lines((text,))),)) for text in many))
    assert [each["a"]["b"] for each in evaluated(deep)] == many


@few
@given(st.lists(st.tuples(texts, texts, texts), min_size=20, max_size=60))
def test_text_around_an_interpolation_comes_back_as_it_was(many: list[tuple[str, str, str]]) -> None:
    plain = n.ListOf(tuple(n.Str((before, n.text(inside), after)) for before, inside, after in many))
    assert evaluated(plain) == ["".join(each) for each in many]
    lines = n.ListOf(tuple(n.Lines((before, n.text(inside), after)) for before, inside, after in many))
    assert evaluated(lines) == ["".join(each) for each in many]


async def test_nothing_is_made_where_two_texts_meet(tmp_path: Path) -> None:
    pieces = [("a\n$", "{x}\n"), ("a\n'", "'b\n"), ("a\n'", "${x}\n"), ("a\n\\", "n\n"), ("a\n$", "", "{y}")]
    tree = n.ListOf(tuple(kind(each) for each in pieces for kind in (n.Str, n.Lines)))
    assert await evaluate(tmp_path, show(tree)) == ["".join(each) for each in pieces for _ in range(2)]


@few
@given(st.lists(st.lists(texts, min_size=2, max_size=5), min_size=20, max_size=60))
def test_lines_with_interpolations_come_back_as_they_were(many: list[list[str]]) -> None:
    trees = [n.Lines(tuple(part for text in each for part in ("a\n", n.text(text), text))) for each in many]
    assert evaluated(n.ListOf(tuple(trees))) == ["".join(f"a\n{text}{text}" for text in each) for each in many]


@few
@given(st.lists(st.tuples(texts, texts), min_size=20, max_size=60))
def test_no_comment_becomes_code(many: list[tuple[str, str]]) -> None:
    bindings = tuple(n.Binding((f"a{i}",), n.Int(i), comment) for i, (comment, _) in enumerate(many))
    items = n.ListOf(tuple(n.Commented(comment, n.Int(i)) for i, (_, comment) in enumerate(many)))
    tree = n.AttrSet((*bindings, n.bind("list", items)))
    assert evaluated(tree) == {**{f"a{i}": i for i in range(len(many))}, "list": list(range(len(many)))}


numbers = st.recursive(
    st.integers(-3, 3),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*"]), inner, inner),
        st.tuples(st.sampled_from(["let", "if", "apply", "select", "or", "with"]), inner, inner),
    ),
    max_leaves=8,
)


def as_tree(expression: Any) -> n.Node:
    match expression:
        case int():
            return n.Int(expression)
        case ("let", value, body):
            return n.Let((n.bind("x", as_tree(value)),), n.Op("-", n.Var("x"), as_tree(body)))
        case ("if", yes, no):
            return n.If(n.Op("==", as_tree(yes), as_tree(no)), as_tree(yes), as_tree(no))
        case ("apply", argument, body):
            return n.Apply(n.Lambda("x", n.Op("-", n.Var("x"), as_tree(body))), (as_tree(argument),))
        case ("select", value, _):
            return n.Select(n.AttrSet((n.Binding(("a b",), as_tree(value)),)), ("a b",))
        case ("or", _, default):
            return n.Select(n.AttrSet(()), ("a", "b"), as_tree(default))
        case ("with", value, body):
            return n.With(n.AttrSet((n.bind("y", as_tree(value)),)), n.Op("-", as_tree(body), n.Var("y")))
        case (operator, left, right):
            return n.Op(operator, as_tree(left), as_tree(right))
    raise AssertionError(expression)


def computed(expression: Any) -> int:
    match expression:
        case int():
            return expression
        case ("let" | "apply", left, right):
            return computed(left) - computed(right)
        case ("if", _, no):
            return computed(no)
        case ("select", value, _):
            return computed(value)
        case ("or", _, default):
            return computed(default)
        case ("with", value, body):
            return computed(body) - computed(value)
        case ("+", left, right):
            return computed(left) + computed(right)
        case ("-", left, right):
            return computed(left) - computed(right)
        case ("*", left, right):
            return computed(left) * computed(right)
    raise AssertionError(expression)


@few
@given(st.lists(numbers, min_size=20, max_size=60))
def test_parentheses_stand_where_the_tree_needs_them(many: list[Any]) -> None:
    assert evaluated(n.ListOf(tuple(map(as_tree, many)))) == [computed(each) for each in many]


async def test_hostile_paths_name_the_file_that_they_say(tmp_path: Path) -> None:
    names = [name for name in HOSTILE if name and "/" not in name and name != " "] + ["a/b-c/d.txt", "-x/..y"]
    tree = n.ListOf(tuple(n.Apply(n.Var("toString"), (n.Path(name),)) for name in names))
    assert await evaluate(tmp_path, show(tree)) == [f"{tmp_path}/{name}" for name in names]


async def test_patterns_inherits_and_dynamic_names_mean_what_they_say(tmp_path: Path) -> None:
    pattern = n.Pattern((n.Formal("a"), n.Formal("b", n.text("${b}"))), is_open=True, whole="all")
    body = n.AttrSet(
        (
            n.Inherit(("a", "b")),
            n.Inherit(("rest",), n.Var("all")),
            n.Binding((n.Var("b"), "x y"), n.names("all.rest")),
        )
    )
    argument = n.literal({"a": 1, "rest": [True]})
    tree = n.Apply(n.Lambda(pattern, body), (argument,))
    assert await evaluate(tmp_path, show(tree)) == {"a": 1, "b": "${b}", "rest": [True], "${b}": {"x y": [True]}}


def test_what_nix_cannot_say_is_refused_when_the_tree_is_made() -> None:
    for make in (
        lambda: n.Var("a b"),
        lambda: n.Var("let"),
        lambda: n.Int(2**63),
        lambda: n.text("\0"),
        lambda: n.text("\ud800"),
        lambda: n.Path("../x"),
        lambda: n.Path("/x"),
        lambda: n.Formal("a-b c"),
        lambda: n.Lambda("in", n.Int(1)),
        lambda: n.Inherit(("a b",)),
        lambda: n.Op("!", n.Int(1), n.Int(1)),
        lambda: n.Apply(n.Var("f"), ()),
        lambda: n.Binding((), n.Int(1)),
    ):
        with pytest.raises(InvalidInput):
            make()


async def test_it_reads_like_nixfmt(tmp_path: Path) -> None:
    package = n.call(
        "pkgs.buildNpmPackage",
        n.AttrSet(
            (
                n.bind("pname", n.text("x"), comment="package.json: name"),
                n.bind("src", n.Path("")),
                n.bind("npmFlags", n.literal(["--legacy-peer-deps"])),
                n.bind("script", n.Lines(("make\nmake ${x}\n",))),
                n.bind("meta", n.literal({})),
            )
        ),
    )
    pattern = n.Pattern((n.Formal("self"), n.Formal("nixpkgs"), n.Formal("pkgs")))
    tree = n.Lambda(pattern, n.Let((n.bind("p", package), n.Inherit(("self",))), n.Var("p")))
    shown = show(tree, header="One.\n\nTwo.")
    assert shown == READS
    assert len(await parse(tmp_path, shown)) == 1


READS = """\
# One.
# Two.
{ self, nixpkgs, pkgs }:
let
  p = pkgs.buildNpmPackage {
    # package.json: name
    pname = "x";
    src = ./.;
    npmFlags = [ "--legacy-peer-deps" ];
    script = ''
      make
      make ''${x}
    '';
    meta = { };
  };
  inherit self;
in
p
"""
