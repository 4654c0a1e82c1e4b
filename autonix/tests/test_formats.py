"""The formats: values as the format means them, lines where a person finds them, and hostile texts turned away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonix.formats.dockerfile import parse_dockerfile
from autonix.formats.dotenv import dotenv_lines
from autonix.formats.ini import parse_ini
from autonix.formats.json import parse_json
from autonix.formats.toml import parse_toml
from autonix.formats.xml import parse_xml
from autonix.formats.yaml import parse_yaml
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


def test_a_bomb_of_aliases_stays_small() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    assert len(parse_yaml("x", "\n".join(lines)).table()) == 30


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: [", "\t- x: y: z", "- " * 3000 + "x"])
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
    for parse in (parse_toml, parse_json, parse_yaml, parse_xml, parse_ini):
        try:
            parse("x", text)
        except InvalidInput:
            continue
    parse_dockerfile(text)
    list(dotenv_lines(text))
