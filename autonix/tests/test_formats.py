"""The formats: values as the format means them, lines where a person finds them, and hostile texts turned away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonix.formats.cabal import parse_cabal
from autonix.formats.dockerfile import parse_dockerfile
from autonix.formats.dotenv import dotenv_lines
from autonix.formats.ini import parse_ini
from autonix.formats.json import parse_json
from autonix.formats.m4 import parse_m4
from autonix.formats.nix import nix_tokens, sets_of
from autonix.formats.properties import parse_properties
from autonix.formats.toml import parse_toml
from autonix.formats.xml import parse_xml
from autonix.formats.yaml import parse_yaml, parse_yaml_all
from autonix.formats.zon import parse_zon
from schema.errors import InvalidInput

TOML = '''\
title = "x" # c = 1
[a."b.c"]
one = """
two = 2
"""
list = [
  "p",
  { q = 1, r = [2] }, # }
  "s",
]
[[bin]]
name = "first"
[[bin]]
name = "second"
[bin.extra]
deep.er = 1
'''


def test_toml_knows_the_lines_of_keys_and_elements() -> None:
    document = parse_toml("x", TOML)
    assert document.line("title") == 1
    assert document.line("a", "b.c", "one") == 3
    assert [document.line("a", "b.c", "list", index) for index in range(3)] == [7, 8, 9]
    assert document.line("bin", 1, "name") == 14
    assert document.line("bin", 1, "extra", "deep", "er") == 16
    assert document.get("bin", 1, "extra", "deep", "er") == 1
    assert document.line("a", "b.c", "list", 1, "q") == 8


def test_json_allows_comments_and_trailing_commas_and_knows_lines() -> None:
    document = parse_json("x", '{\n // c\n "a": [1,\n  {"b": "}//"},],\n "c": /* } */ 3,\n}')
    assert document.value == {"a": [1, {"b": "}//"}], "c": 3}
    assert [document.line("a"), document.line("a", 1, "b"), document.line("c")] == [3, 4, 5]


def test_yaml_is_read_as_its_version_1_2() -> None:
    document = parse_yaml(
        "x", "on: 1\nports:\n  - 22:22\n  - 8080\nversion: 3.10\nyes: true\nmode: 0755\nquoted: '1'\n"
    )
    assert document.value == {
        "on": 1,
        "ports": ["22:22", 8080],
        "version": "3.10",
        "yes": True,
        "mode": "0755",
        "quoted": "1",
    }
    assert document.line("ports", 1) == 4


def test_yaml_merges_and_keeps_unknown_tags_as_plain_values() -> None:
    text = (
        "base: &b {image: x, a: 1}\nweb:\n  <<: *b\n  a: 2\nother: !reference [x, y]\nmade: !!python/object:os.x {}\n"
    )
    document = parse_yaml("x", text)
    assert document.get("web") == {"image": "x", "a": 2}
    assert document.get("other") == ["x", "y"]
    assert document.get("made") == {}


def a_bomb(levels: int) -> str:
    lines = [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join(["a0: &a0 [x, x]", *lines])


def test_aliases_stay_as_small_as_their_text() -> None:
    assert len(parse_yaml("x", a_bomb(15)).table()) == 15


@pytest.mark.parametrize(
    "text",
    [
        *("a: &a [*a]", "a: *b", "a: [", "\t- x: y: z", "- " * 3000 + "x", "[" * 200_000, "{a: " * 200_000),
        *("? " * 100_000, a_bomb(40), "- x\n" * 600_000),
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(5000)) + "}\nb:\n" + "  - <<: *a\n" * 500,
    ],
    ids=lambda text: text[:12],
)
def test_knotted_yaml_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not YAML"):
        parse_yaml("x", text)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        "<a>",
        "<a>" * 200 + "</a>" * 200,
    ],
)
def test_xml_with_a_document_type_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="XML"):
        parse_xml("x", text)


def test_xml_becomes_tables_with_lines() -> None:
    text = '<p xmlns="urn:x">\n <a k="v">1</a>\n <b><c>2</c>\n<c>3</c></b>\n</p>'
    document = parse_xml("x", text)
    assert document.value == {"p": {"a": {"@k": "v", "#text": "1"}, "b": {"c": ["2", "3"]}}}
    assert document.line("p", "b", "c", 1) == 4


def test_ini_knows_lines() -> None:
    document = parse_ini("x", "[metadata]\nname = x\n[options]\ninstall_requires =\n  a\n  b\n")
    assert document.text("options", "install_requires") == "a\nb"
    assert document.line("options", "install_requires") == 4


def test_dockerfile_instructions_are_joined() -> None:
    text = "# escape=`\nFROM a`\n  # c\n\n  AS b\nrun <<E\nEXPOSE 1\nE\nexpose 2\n"
    found = [(item.keyword, item.text, item.line) for item in parse_dockerfile(text)]
    assert found == [("FROM", "a AS b", 2), ("RUN", "<<E", 6), ("EXPOSE", "2", 9)]


def test_dotenv_lines_know_quotes_and_comments() -> None:
    text = "# A=1\nexport B=\"x # y\" # z\nC='q'\nD=1 # two\nE=\n9F=1\nG=a#b\n"
    assert list(dotenv_lines(text)) == [(2, "B", "x # y"), (3, "C", "q"), (4, "D", "1"), (5, "E", ""), (7, "G", "a#b")]


@given(st.text(max_size=200))
def test_no_text_makes_a_parser_raise_anything_else(text: str) -> None:
    for parse in (
        parse_toml,
        parse_json,
        parse_yaml,
        parse_yaml_all,
        parse_xml,
        parse_ini,
        parse_properties,
        parse_zon,
        _outline,
    ):
        try:
            parse("x", text)
        except InvalidInput:
            continue
    parse_dockerfile(text)
    parse_cabal(text)
    parse_m4(text)
    list(dotenv_lines(text))


def _outline(_path: str, text: str) -> object:
    return list(sets_of(nix_tokens(text)))


FLAKE = """
# outputs = { lib = 1; };
{
  description = "a \\"b\\"";
  inputs = { nixpkgs.url = "x"; "odd name" = { url = y:z; inputs.a.follows = "b"; }; };
  inputs.more.url = ''${"}"} ''' ''${ '';
  outputs = { self, ... }@inputs: with inputs; let lib = { checks = 1; }; in
    flake-utils.lib.eachSystem [ "x" ] (system: let a = 1; b = let c = 2; in c; in rec {
      packages.default = import ./. { inherit system; hydraJobs = 1; };
      devShells = if a == b then { } else { formatter = 2; };
    }) // { inherit lib; overlays.default = final: prev: { apps = 3; }; "${x}" = 1; };
}
"""


def test_the_outline_of_a_nix_file_is_that_of_nix() -> None:
    (said,) = sets_of(nix_tokens(FLAKE))
    assert [each.names for each in said] == [("description",), ("inputs",), ("inputs", "more", "url"), ("outputs",)]
    assert [each.line for each in said] == [4, 5, 6, 7]
    assert said[0].value[0].value == 'a "b"'
    assert [each.names for group in sets_of(said[1].value) for each in group] == [("nixpkgs", "url"), ("odd name",)]
    assert [each.names for group in sets_of(said[3].value) for each in group if each.names] == [
        ("packages", "default"),
        ("devShells",),
        ("lib",),
        ("overlays", "default"),
    ]


def test_properties_know_their_separators_comments_and_lines() -> None:
    text = "# c\na.b = 1\n\n! no\nc:2\nd 3 4\ne=x\\\n   y\nf\\:g=\\=h\na.b=5\nalone\n"
    document = parse_properties("x", text)
    assert document.value == {"a.b": "5", "c": "2", "d": "3 4", "e": "xy", "f:g": "=h", "alone": ""}
    assert [document.line(key) for key in ("a.b", "c", "d", "e", "f:g", "alone")] == [10, 5, 6, 7, 9, 11]


@pytest.mark.parametrize("text", ['{ a = "', "''${", "}", '"${' * 300, "/* x", "{ a = ''b"])
def test_broken_nix_is_refused_or_empty(text: str) -> None:
    try:
        list(sets_of(nix_tokens(text)))
    except InvalidInput as error:
        assert "Nix" in error.message


def test_zon_is_read_with_lines_and_refused_where_it_is_broken() -> None:
    document = parse_zon("x", '.{\n  .name = .x, // c }\n  .@"a b" = .{ "p", .{}, 0x1f },\n}\n')
    assert document.value == {"name": "x", "a b": ["p", {}, "0x1f"]}
    assert [document.line("name"), document.line("a b", 0)] == [2, 3]
    for text in (".{ .a = ", ".{ .a 1 }", "}", ".{ .a = 1 } .{", ".{" * 100):
        with pytest.raises(InvalidInput, match="not ZON"):
            parse_zon("x", text)


def test_cabal_files_know_sections_conditions_and_lists() -> None:
    text = (
        "name: x\nlibrary\n  build-depends:\n    a >= 1,\n    b\n  , c\n  -- no\n  if flag(f)\n    build-depends: d\n"
    )
    top, library = parse_cabal(text + "executable e\n  main-is: M.hs\n")[:2]
    assert top.text("name") == "x"
    assert [each.lines for each in library.named("build-depends")] == [
        [(3, ""), (4, "a >= 1,"), (5, "b"), (6, ", c")],
        [(9, "d")],
    ]


def test_macro_calls_know_quotes_and_comments() -> None:
    calls = parse_m4("dnl AC_A(x)\nAC_INIT([a, b], [1.0],\n  [AC_C([d], e)])\n# AC_B(x)\nAC_OPEN(")
    assert [(call.name, call.arguments, call.line) for call in calls] == [
        ("AC_INIT", ("a, b", "1.0", "AC_C([d], e)"), 2),
        ("AC_C", ("d", "e"), 3),
    ]
